"""What a body's execution tells: started, item, progress; and read and forget."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import clock
from understudy.durations import to_millis
from understudy.holds import Hold
from understudy.states import State

from .bench import Bench
from .dumps import dump


def lost(bench: Bench) -> Hold:
    """A delivery that was taken from its worker."""
    hold = bench.take("dead")
    bench.reap("dead", resent=[b"reaped", 0])
    return hold


# -- started ---------------------------------------------------------------------------------------------------


def test_a_started_message_is_marked_and_shown(bench: Bench) -> None:
    hold = bench.take()
    bench.client.hset(bench.keys.state("m"), mapping={"state": "RETRY", "next_run": "5", "info": "half"})
    assert bench.started(hold, mark="alone") == 1
    record = bench.hash(bench.keys.state("m"))
    assert (record[b"state"], record[b"worker"], record[b"by"]) == (b"STARTED", b"w1", hold.token.encode())
    assert (record[b"actor"], record[b"queue"], record[b"info"]) == (b"a", b"q", b"half")
    assert b"next_run" not in record
    assert bench.hash(bench.keys.started("w1")) == {f"{hold.stream} {hold.entry}".encode(): b"alone"}


def test_what_is_not_tracked_is_marked_all_the_same(bench: Bench) -> None:
    assert bench.started(bench.take(), tracked=False) == 1
    assert b"state" not in bench.hash(bench.keys.state("m"))


def test_what_is_not_held_any_more_is_passed_over_and_its_neighbours_are_marked(bench: Bench) -> None:
    gone, hold = lost(bench), bench.take()
    assert bench.started(gone, hold) == 1
    assert set(bench.hash(bench.keys.started("w1"))) == {f"{hold.stream} {hold.entry}".encode()}


def test_progress_that_came_before_the_mark_stays(bench: Bench) -> None:
    hold = bench.take()
    bench.progress(hold)
    bench.started(hold)
    assert bench.hash(bench.keys.state("m"))[b"state"] == b"PROGRESS"
    again = bench.take()
    bench.started(again)
    assert bench.hash(bench.keys.state("m"))[b"state"] == b"STARTED", "of a later delivery it does not"


def test_who_began_and_when_is_known_though_progress_came_before_the_mark(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    for worker in ("w1", "w2"):
        hold = bench.take(worker)
        freezer.tick(60)
        bench.progress(hold)
        bench.started(hold, worker=worker)
        record = bench.hash(bench.keys.state("m"))
        assert record[b"state"] == b"PROGRESS"
        assert record.get(b"worker") == worker.encode()
        assert record.get(b"started_at") == str(to_millis(clock.now())).encode()


def test_a_finished_record_is_not_touched_until_exactly_its_time_is_over(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    bench.settle((bench.take(), [bench.state(State.SUCCESS, result=b"1")]))
    again, record = bench.take(), bench.keys.state("m")
    freezer.tick(59.999)
    before = bench.hash(record)
    assert bench.started(again) == 1
    assert bench.progress(again) == 0
    assert bench.hash(record) == before
    freezer.tick(0.001)
    bench.started(again)
    assert bench.hash(record)[b"state"] == b"STARTED"
    assert b"result" not in bench.hash(record)
    assert bench.client.pttl(record) == -1, "what is worked on does not expire"


def test_a_record_that_is_none_keeps_no_neighbour_from_being_marked(bench: Bench) -> None:
    bench.spoil(bench.keys.state("m"))
    assert bench.started(bench.take(), bench.take()) == 2
    assert len(bench.hash(bench.keys.started("w1"))) == 2


# -- progress --------------------------------------------------------------------------------------------------


def test_progress_is_written_by_who_holds_the_message_only(bench: Bench) -> None:
    hold = bench.take()
    assert bench.progress(hold) == 1
    record = bench.hash(bench.keys.state("m"))
    assert (record[b"state"], record[b"info"], record[b"by"]) == (b"PROGRESS", b"5", hold.token.encode())
    assert b"rate" not in record
    assert bench.progress(hold, rate="2.5") == 1
    assert bench.hash(bench.keys.state("m"))[b"rate"] == b"2.5"
    gone, before = lost(bench), dump(bench.storage)
    assert bench.progress(gone, b"6") == 0
    assert dump(bench.storage) == before


def test_progress_of_an_expired_record_begins_a_new_one(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    bench.settle((bench.take(), [bench.state(State.FAILURE, exception=b"old")]))
    freezer.tick(60)
    assert bench.progress(bench.take()) == 1
    assert b"exception" not in bench.hash(bench.keys.state("m"))
    assert bench.client.pttl(bench.keys.state("m")) == -1


def test_where_the_server_lost_its_data_nobody_holds_anything(bench: Bench) -> None:
    hold = bench.take()
    bench.client.delete(bench.stream)
    before = dump(bench.storage)
    assert bench.progress(hold) == 0
    assert bench.item(hold, {"ada": "1"}, ["bob"]) == [b"lost"]
    assert bench.started(hold) == 0
    assert dump(bench.storage) == before
    assert bench.settle((hold, [bench.state(State.SUCCESS), bench.add()])) == "l"


# -- item ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "on_doubt", "reply"),
    [
        (None, "skip", [b"open", b""]),
        ("?own", "skip", [b"open", b""]),
        ("?other", "repeat", [b"repeat", b""]),
        ("??other", "repeat", [b"repeat", b""]),
        ("??own", "repeat", [b"repeat", b""]),
        ("?other", "skip", [b"doubt", b""]),
        ("??other", "skip", [b"doubt", b""]),
        ("1", "repeat", [b"closed", b"1"]),
        ("!no such user", "skip", [b"closed", b"!no such user"]),
    ],
)
def test_what_is_said_of_an_item(bench: Bench, stored: str | None, on_doubt: str, reply: list[bytes]) -> None:
    hold, items = bench.take(), bench.keys.items("m")
    if stored:
        bench.client.hset(items, "ada", stored.replace("own", hold.token))
    assert bench.item(hold, {}, ["ada"], on_doubt) == [b"held", *reply]
    mark = bench.client.hget(items, "ada").decode()
    left = {b"open": f"?{hold.token}", b"repeat": f"??{hold.token}"}
    assert mark == left.get(reply[0], stored)


def test_items_are_closed_as_the_next_ones_are_opened(bench: Bench) -> None:
    hold, items = bench.take(), bench.keys.items("m")
    opened = [b"open", b""]
    assert bench.item(hold, {}, ["ada"]) == [b"held", *opened]
    assert bench.item(hold, {"ada": "1"}, ["bob", "cid"]) == [b"held", *opened, *opened]
    assert bench.item(hold, {"bob": "!gone", "cid": "1"}, ["ada", "eve"]) == [b"held", b"closed", b"1", *opened]
    assert bench.item(hold, {"eve": "", "": "@{}"}, []) == [b"held"]
    assert bench.hash(items) == {b"ada": b"1", b"bob": b"!gone", b"cid": b"1", b"": b"@{}"}
    gone, before = lost(bench), dump(bench.storage)
    assert bench.item(gone, {"ada": "!no"}, ["eve"]) == [b"lost"]
    assert dump(bench.storage) == before


def test_an_item_is_put_off_by_who_opened_it_only(bench: Bench) -> None:
    hold, items = bench.take(), bench.keys.items("m")
    others = {"done": "1", "foreign": "?other", "again": "??other"}
    bench.client.hset(items, mapping={**others, "mine": f"?{hold.token}", "doubtful": f"??{hold.token}"})
    bench.item(hold, dict.fromkeys([*others, "mine", "doubtful"], ""), [])
    assert bench.hash(items) == {name.encode(): mark.encode() for name, mark in others.items()}


def test_what_is_remembered_does_not_expire_under_a_run_that_goes_on_with_it(bench: Bench) -> None:
    items = bench.keys.items("m")
    bench.client.hset(items, "ada", "1")
    bench.client.pexpire(items, 60_000)
    bench.item(bench.take(), {}, ["bob"])
    assert bench.client.pttl(items) == -1


# -- read, forget ----------------------------------------------------------------------------------------------


def test_a_record_is_read_until_exactly_its_time_is_over(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    names = [bench.keys.clock, bench.keys.state("m")]
    assert bench.run("read", names, []) == []
    bench.settle((bench.take(), [bench.state(State.SUCCESS)]))
    freezer.tick(59.999)
    assert b"SUCCESS" in bench.run("read", names, [])
    freezer.tick(0.001)
    assert bench.run("read", names, []) == []


def test_a_message_that_is_forgotten_while_it_is_worked_on_goes_on(bench: Bench) -> None:
    hold, record = bench.take(), bench.keys.state("m")
    assert bench.run("forget", [record], []) == 0
    bench.started(hold)
    assert bench.run("forget", [record], [], resent=0) == 1
    assert bench.progress(hold) == 1
    assert bench.settle((hold, [bench.state(State.SUCCESS)])) == "c"
    assert bench.hash(record)[b"state"] == b"SUCCESS"
