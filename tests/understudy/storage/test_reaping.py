"""reap, bury and beat: what becomes of a worker that is dead, and that a live one is left alone."""

from __future__ import annotations

import dataclasses

import pytest

from understudy.errors import ServerUnavailable
from understudy.holds import GROUP, Hold

from .bench import Bench
from .dumps import dump


def lease(bench: Bench, worker: str = "w1", count: int = 7) -> str:
    bench.client.hset(bench.keys.leases, worker, count)
    return str(count)


def test_a_beat_renews_a_lease_that_is_there_and_makes_none(bench: Bench) -> None:
    beat = [bench.keys.leases], ["w1"]
    assert bench.storage.run("beat", *beat) == 0
    assert not bench.client.exists(bench.keys.leases)
    lease(bench)
    assert [bench.storage.run("beat", *beat) for _ in range(2)] == [8, 9]


def test_whoever_took_an_entry_is_found_at_its_stream_and_what_is_not_there_has_nobody(bench: Bench) -> None:
    streams = bench.queue.streams
    bench.take("w1")
    bench.take("w2")
    nobody_reads = f"{streams[0]}:x"
    bench.client.xadd(nobody_reads, {"m": "a stream without a group"})
    found = bench.run("consumers", [*streams, nobody_reads, f"{streams[0]}:y"], [GROUP])
    assert [sorted(names) for names in found] == [[], [b"w1", b"w2"], [], [], []]


def test_a_stream_that_is_spoilt_is_an_error_and_no_stream_without_workers(bench: Bench) -> None:
    bench.take()
    bench.spoil(bench.stream)
    with pytest.raises(ServerUnavailable, match=r"refused.*WRONGTYPE"):
        bench.storage.run("consumers", [bench.queue.streams[0], bench.stream], [GROUP])


@pytest.mark.parametrize("seen", ["", "6", "8"])
def test_a_worker_whose_lease_is_not_as_it_was_observed_keeps_everything(bench: Bench, seen: str) -> None:
    lease(bench)
    bench.take()
    before = dump(bench.storage)
    assert bench.reap(seen=seen) == [b"alive"]
    assert bench.bury(seen=seen) == 0
    assert dump(bench.storage) == before


def test_a_worker_that_has_come_back_is_alive(bench: Bench) -> None:
    bench.take()
    lease(bench)
    assert bench.reap(seen="") == [b"alive"]


def test_what_a_dead_worker_held_waits_again_and_what_others_hold_does_not(bench: Bench) -> None:
    seen = lease(bench)
    old, other = bench.take(payload="a"), bench.take("w2", payload="b")
    assert bench.reap(seen=seen, resent=[b"reaped", 0]) == [b"reaped", 1]
    assert bench.waiting() == [b"a"]
    assert bench.holding("w2") == [other.entry]
    new = bench.taken("w2")
    assert new.entry != old.entry, "so the old delivery is a zombie"
    fields = dict(bench.client.xrange(bench.stream, new.entry, new.entry)[0][1])
    assert fields == {b"m": b"a", b"d": b"0", b"w": b"w1"}, "its body had not begun, so it is not suspected"


def test_a_worker_without_a_lease_is_reaped_too(bench: Bench) -> None:
    bench.take()
    assert bench.reap(resent=[b"reaped", 0]) == [b"reaped", 1]


def test_the_deaths_of_a_body_that_was_running_are_counted(bench: Bench) -> None:
    for deaths in (1, 2, 3):
        bench.take() if deaths == 1 else bench.taken()
        hold = bench.holding()[0]
        bench.client.hset(bench.keys.started("w1"), f"{bench.stream} {hold}", "1")
        assert bench.reap(resent=[b"reaped", 0]) == [b"reaped", 1], "in company nobody is condemned"
        assert bench.client.xrange(bench.stream)[-1][1][b"d"] == str(deaths).encode()
        assert not bench.client.exists(bench.keys.started("w1"))


def test_nobody_is_blamed_for_what_ran_under_the_same_entry_of_another_stream(bench: Bench) -> None:
    """An entry's id is unique in its stream only; two streams of a queue may well have the same one."""
    high, normal = bench.queue.streams[:2]
    for stream in (high, normal):
        bench.client.xadd(stream, {"m": stream}, id="1-1")
    innocent, guilty = bench.taken(stream=high), bench.taken(stream=normal)
    bench.started(guilty)
    bench.settle((innocent, [bench.begun(innocent)]))
    bench.client.xadd(high, {"m": "innocent", "d": "0", "w": ""}, id="1-2")
    bench.client.xadd(normal, {"m": "guilty", "d": "0", "w": ""}, id="1-2")
    for stream in (high, normal):
        bench.taken(stream=stream)
    bench.started(Hold(normal, "1-2", "q/2/1-2"))
    for stream in (high, normal):
        names = [bench.keys.leases, bench.keys.started("w1"), stream]
        bench.run("reap", names, _args(), resent=[b"reaped", 0])
    assert [fields[b"d"] for _, fields in bench.client.xrange(high)] == [b"0"]
    assert [fields[b"d"] for _, fields in bench.client.xrange(normal)] == [b"1", b"1"]


@pytest.mark.parametrize(("before", "mark", "condemned"), [(2, "alone", True), (1, "alone", False), (2, "1", False)])
def test_who_was_alone_at_the_last_of_too_many_deaths_is_left_pending_for_the_caller(
    bench: Bench, before: int, mark: str, condemned: bool
) -> None:
    bench.client.xadd(bench.stream, {"m": "poison", "d": before, "w": "w0"})
    hold = bench.taken()
    bench.client.hset(bench.keys.started("w1"), f"{bench.stream} {hold.entry}", mark)
    innocent = bench.take()
    reply = bench.storage.run("reap", [bench.keys.leases, bench.keys.started("w1"), bench.stream], _args())
    if condemned:
        assert reply == [b"reaped", 1, [hold.entry.encode(), b"poison", b"3"]]
        assert bench.holding() == [hold.entry]
        assert bench.bury() == 0, "it holds something"
        assert bench.reap() == [b"reaped", 0, [hold.entry.encode(), b"poison", b"3"]], "until it is settled"
        assert bench.settle((hold, [bench.dead(hold)])) == "c"
        assert bench.bury() == 1
    else:
        assert reply == [b"reaped", 2]
        assert bench.holding() == []
    assert innocent.entry not in bench.holding()


@pytest.mark.parametrize(
    ("before", "mark", "after"),
    [
        ("0", "1+", "1"),
        ("2", "1+", "1/3"),
        ("2", "alone+", "1/3"),
        ("1/3", "1", "2/4"),
        ("1/98", "alone+", "1/99"),
        ("0/9", "1", "1/10"),
    ],
)
def test_deaths_are_counted_anew_when_the_body_has_finished_an_item(
    bench: Bench, before: str, mark: str, after: str
) -> None:
    bench.client.xadd(bench.stream, {"m": "campaign", "d": before, "w": "w0"})
    hold = bench.taken()
    bench.client.hset(bench.keys.started("w1"), f"{bench.stream} {hold.entry}", mark)
    assert bench.reap(resent=[b"reaped", 0]) == [b"reaped", 1]
    assert bench.client.xrange(bench.stream)[-1][1][b"d"] == after.encode()


@pytest.mark.parametrize(("before", "mark", "deaths"), [("2/9", "alone", b"3/10"), ("1/99", "alone+", b"1/100")])
def test_it_is_condemned_by_its_deaths_at_one_item_or_by_all_of_them(
    bench: Bench, before: str, mark: str, deaths: bytes
) -> None:
    bench.client.xadd(bench.stream, {"m": "poison", "d": before, "w": "w0"})
    hold = bench.taken()
    bench.client.hset(bench.keys.started("w1"), f"{bench.stream} {hold.entry}", mark)
    assert bench.reap() == [b"reaped", 0, [hold.entry.encode(), b"poison", deaths]]


def test_the_mark_of_a_body_says_that_it_has_finished_an_item(bench: Bench) -> None:
    hold = dataclasses.replace(bench.take(), holder="w1")
    marks, field = bench.keys.started("w1"), f"{hold.stream} {hold.entry}".encode()
    bench.item(hold, {}, ["a"])
    assert not bench.client.exists(marks), "it is not marked yet"
    bench.started(hold, mark="alone")
    bench.item(hold, {"a": ""}, ["b"])
    assert bench.hash(marks)[field] == b"alone", "what was taken back is not over"
    for _ in range(2):
        bench.item(hold, {"b": "1", "": '@{"done":1}'}, ["c"])
        assert bench.hash(marks)[field] == b"alone+"


def test_a_bounded_number_is_moved_at_a_time(bench: Bench) -> None:
    for _ in range(3):
        bench.take()
    names = [bench.keys.leases, bench.keys.started("w1"), bench.stream]
    assert [bench.storage.run("reap", names, _args(2))[1] for _ in range(3)] == [2, 1, 0]


def test_what_was_removed_while_it_was_held_is_not_held_any_more(bench: Bench) -> None:
    bench.take()
    bench.client.xtrim(bench.stream, 0)
    assert bench.reap() == [b"reaped", 0]
    assert bench.holding() == []
    assert bench.waiting() == []


def test_an_entry_that_somebody_else_wrote_holds_up_nothing(bench: Bench) -> None:
    bench.client.xadd(bench.stream, {"d": "many"})
    bench.taken()
    bench.take(payload="after it")
    assert bench.reap(resent=[b"reaped", 0]) == [b"reaped", 2]
    assert bench.waiting() == [b"", b"after it"]


@pytest.mark.parametrize("lacks", ["stream", "group"])
def test_a_stream_or_a_group_that_is_gone_keeps_nobody_from_being_reaped_and_buried(bench: Bench, lacks: str) -> None:
    seen = lease(bench)
    if lacks == "stream":
        bench.client.delete(bench.stream)
    else:
        bench.client.xgroup_destroy(bench.stream, "workers")
    assert bench.reap(seen=seen) == [b"reaped", 0]
    assert bench.storage.run("bury", _bury_names(bench), ["w1", seen, "workers"]) == 1


def test_of_a_buried_worker_nothing_is_left(bench: Bench) -> None:
    seen = lease(bench)
    hold = bench.take()
    bench.started(hold)
    bench.settle((hold, []))
    assert bench.storage.run("bury", _bury_names(bench), ["w1", seen, "workers"]) == 1
    assert bench.bury() == 1, "a second reaper finds the same"
    for key in (bench.keys.leases, bench.keys.started("w1"), bench.keys.batch("w1")):
        assert not bench.client.exists(key)
    for stream in bench.queue.streams:
        assert bench.client.xinfo_consumers(stream, "workers") == []


def test_who_holds_something_in_any_stream_is_not_buried(bench: Bench) -> None:
    bench.take(stream=bench.queue.streams[-1])
    before = dump(bench.storage)
    assert bench.bury() == 0
    assert dump(bench.storage) == before


def _args(most: int = 100) -> list[str | int]:
    return ["w1", "", most, "workers", 3, 100]


def _bury_names(bench: Bench) -> list[str]:
    return [bench.keys.leases, bench.keys.started("w1"), bench.keys.batch("w1"), *bench.queue.streams]
