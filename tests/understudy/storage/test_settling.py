"""settle: an outcome is committed whole or not at all, and breaks none of its neighbours."""

from __future__ import annotations

from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.names import HIGH
from understudy.holds import Hold
from understudy.states import State

from .bench import Bench, Ops
from .dumps import dump

TTL = 60_000


def everything(bench: Bench, hold: Hold) -> list[Ops]:
    """An outcome of every operation there is."""
    return [
        bench.begun(hold),
        bench.state(State.SUCCESS, result=b"1"),
        bench.marks(hold, {"ada": "1"}, ttl=60),
        bench.claimed(hold, "complete"),
        bench.add(b"follow-up"),
        bench.later(b"in a while"),
        bench.dead(hold),
    ]


def outcome(bench: Bench, worker: str = "w1") -> tuple[Hold, list[Ops]]:
    """A held message that was claimed and marked, with such an outcome."""
    hold = bench.take(worker)
    bench.claim(hold)
    bench.started(hold, worker=worker)
    return hold, everything(bench, hold)


def unchanged(bench: Bench, before: dict[str, Any], *besides: str) -> None:
    """Nothing has changed but the note of the last batch, and ``besides``."""
    after = dump(bench.storage)
    for name in (bench.keys.batch("w1"), *besides):
        before.pop(name, None)
        after.pop(name, None)
    assert after == before


# -- what each operation does ----------------------------------------------------------------------------------


def test_all_that_follows_exists_and_the_message_is_gone(bench: Bench) -> None:
    hold, ops = outcome(bench)
    assert bench.settle((hold, ops)) == "c"
    assert bench.holding() == []
    assert bench.waiting() == [b"follow-up"]
    assert bench.client.zcard(bench.queue.delayed) == 1
    assert bench.hash(bench.keys.state("m"))[b"state"] == b"SUCCESS"
    assert bench.hash(bench.keys.items("m")) == {b"ada": b"1"}
    assert bench.hash(bench.keys.claim("k"))[b"status"] == b"done"
    assert bench.hash(bench.queue.bodies) == {f"m|{hold.token}".encode(): b"{}"}
    assert not bench.client.exists(bench.keys.started("w1"))


def test_a_terminal_state_starts_the_ttl(bench: Bench) -> None:
    hold, record = bench.take(), bench.keys.state("m")
    bench.client.hset(record, mapping={"next_run": "5", "info": "half"})
    bench.settle((hold, [bench.state(State.SUCCESS, result=b"7", next_run=b"")]))
    found = bench.hash(record)
    assert (found[b"state"], found[b"result"], found[b"info"], found[b"v"]) == (b"SUCCESS", b"7", b"half", b"1")
    assert b"next_run" not in found
    assert float(found[b"expires_at"]) - float(found[b"done_at"]) == TTL
    assert TTL < bench.client.pttl(record) <= TTL + 60_000


def test_a_state_that_is_left_as_it_is_keeps_its_fields_too(bench: Bench) -> None:
    bench.progress(hold := bench.take())
    bench.settle((hold, [bench.state(None, retries=1)]))
    found = bench.hash(bench.keys.state("m"))
    assert (found[b"state"], found[b"info"], found[b"retries"]) == (b"PROGRESS", b"5", b"1")


def test_what_is_not_finished_never_expires(bench: Bench) -> None:
    hold = bench.take()
    bench.claim(hold)
    ops = [bench.state(State.RETRY), bench.marks(hold, {"ada": "1"}), bench.claimed(hold, "keep"), bench.later()]
    bench.settle((hold, ops))
    assert [name for name, (_, expires) in dump(bench.storage).items() if expires] == [bench.keys.batch("w1")]


def test_marks_close_items_and_forget_only_the_intents_of_their_own_delivery(bench: Bench) -> None:
    hold, items = bench.take(), bench.keys.items("m")
    bench.client.hset(items, mapping={"mine": f"?{hold.token}", "foreign": "?other", "done": "1"})
    bench.client.hset(items, "doubtful", f"??{hold.token}")
    bench.client.hset(items, mapping={"unheard": f"?{hold.token}", "as before": f"??{hold.token}"})
    marks = {"mine": "", "doubtful": "", "foreign": "", "done": "", "ada": "!no", "unheard": "?", "as before": "?"}
    bench.settle((hold, [bench.marks(hold, marks, ttl=60)]))
    left = {b"foreign": b"?other", b"done": b"1", b"ada": b"!no", b"as before": f"??{hold.token}".encode()}
    assert bench.hash(items) == left
    assert TTL < bench.client.pttl(items) <= TTL + 60_000


def test_items_are_remembered_as_long_as_the_claim_that_is_done(bench: Bench) -> None:
    hold = bench.take()
    bench.claim(hold)
    marks = bench.marks(hold, {"ada": "1"}, scope="key:k", ttl=60)
    bench.settle((hold, [marks, bench.claimed(hold, "complete", ttl=3600)]))
    for key in (bench.keys.claim("k"), bench.keys.claimed_items("k")):
        assert bench.client.pttl(key) > 3_600_000


def test_dead_letters_go_when_they_are_older_than_their_ttl(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    letters = []
    for wait in (0, 59.999, 0.001):
        freezer.tick(wait)
        hold = bench.take()
        bench.settle((hold, [bench.dead(hold, ttl=60)]))
        letters.append(f"m|{hold.token}".encode())
    assert bench.client.zrange(bench.queue.dead, 0, -1) == letters[1:]
    assert set(bench.hash(bench.queue.bodies)) == set(letters[1:])


def test_a_waiter_is_told_of_a_new_state(bench: Bench) -> None:
    pubsub = bench.storage.subscribe(bench.keys.channel("m"))
    hold = bench.take()
    bench.started(hold)
    bench.settle((hold, [bench.state(State.SUCCESS)]))
    told = [message["data"] for _ in range(9) if (message := pubsub.get_message(timeout=0.05))]
    pubsub.close()
    assert set(told) == {b"STARTED", b"SUCCESS"}
    assert told.count(b"SUCCESS") == 1


# -- verdicts --------------------------------------------------------------------------------------------------


def test_an_outcome_of_nothing_is_an_acknowledgement(bench: Bench) -> None:
    assert bench.settle((bench.take(), [])) == "c"
    assert bench.settle() == ""
    assert bench.client.xlen(bench.stream) == 0


@pytest.mark.parametrize("how", ["reaped", "settled", "stream is gone", "never delivered"])
def test_a_zombies_outcome_is_refused_and_writes_nothing(bench: Bench, how: str) -> None:
    hold, ops = outcome(bench)
    if how == "reaped":
        bench.reap(resent=[b"reaped", 0])
    elif how == "settled":
        bench.settle((hold, []))
    elif how == "stream is gone":
        bench.client.delete(bench.stream)
    else:
        hold = Hold(bench.stream, bench.put(), hold.token)
    before = dump(bench.storage)
    assert bench.settle((hold, ops)) == "l"
    unchanged(bench, before)


def test_terminal_states_are_terminal(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    bench.settle((bench.take(), [bench.state(State.FAILURE, exception=b"first")]))
    freezer.tick(59.999)
    twin = bench.take()
    bench.started(twin)
    before = dump(bench.storage)
    ops = [
        bench.begun(twin),
        bench.state(State.SUCCESS),
        bench.marks(twin, {"ada": "1"}),
        bench.add(),
        bench.dead(twin),
    ]
    assert bench.settle((twin, ops)) == "f"
    unchanged(bench, before, bench.stream, bench.keys.started("w1"))
    assert bench.client.xlen(bench.stream) == 0
    assert not bench.client.exists(bench.keys.started("w1"))


def test_what_is_left_of_an_expired_record_does_not_mix_with_a_new_one(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    bench.settle((bench.take(), [bench.state(State.FAILURE, exception=b"old")]))
    freezer.tick(60)
    assert bench.settle((bench.take(), [bench.state(State.SUCCESS, result=b"new")])) == "c"
    assert b"exception" not in bench.hash(bench.keys.state("m"))


SPOILT = {
    "begun": lambda bench: bench.keys.started("w1"),
    "state": lambda bench: bench.keys.state("m"),
    "marks": lambda bench: bench.keys.items("m"),
    "claim": lambda bench: bench.keys.claim("k"),
    "claimed items": lambda bench: bench.keys.claimed_items("k"),
    "stream": lambda bench: bench.queue.streams[HIGH - 1],
    "delayed": lambda bench: bench.queue.delayed,
    "payloads": lambda bench: bench.queue.payloads,
    "ids": lambda bench: bench.queue.ids,
    "dead": lambda bench: bench.queue.dead,
    "bodies": lambda bench: bench.queue.bodies,
}


@pytest.mark.parametrize("what", SPOILT)
def test_where_a_key_holds_something_else_nothing_of_the_outcome_is_visible_and_its_neighbours_are_committed(
    bench: Bench, what: str
) -> None:
    hold, ops = outcome(bench)
    ops.append(bench.add(b"urgent", HIGH))
    first, last = bench.take(payload="first"), bench.take(payload="last")
    bench.spoil(SPOILT[what](bench))
    before = dump(bench.storage)
    neighbours = [
        (one, [bench.state(State.SUCCESS, name), bench.add(name.encode())])
        for one, name in ((first, "first"), (last, "last"))
    ]
    assert bench.settle(neighbours[0], (hold, ops), neighbours[1]) == "cec"
    unchanged(bench, before, bench.stream, bench.keys.state("first"), bench.keys.state("last"))
    assert bench.holding() == [hold.entry], "it is still held, for something else to be made of it"
    assert bench.waiting() == [b"first", b"last"]
    for name in ("first", "last"):
        assert bench.hash(bench.keys.state(name))[b"state"] == b"SUCCESS"


@pytest.mark.parametrize("field", ["state", "expires_at"])
def test_nonsense_in_a_record_stops_nothing(bench: Bench, field: str) -> None:
    bench.settle((bench.take(), [bench.state(State.SUCCESS)]))
    bench.client.hset(bench.keys.state("m"), field, "nonsense")
    assert bench.settle((bench.take(), [bench.state(State.FAILURE)])) == "c"


def test_each_of_a_batch_has_its_own_verdict(bench: Bench) -> None:
    zombie = bench.take("dead", payload="zombie")
    bench.reap("dead", resent=[b"reaped", 0])
    bench.taken("w2")
    good, twin, spoilt, unclaimed = (bench.take() for _ in range(4))
    bench.claim(bench.take("w2"), "other")
    bench.spoil(bench.keys.state("spoilt"))
    batch = [
        (good, [bench.state(State.SUCCESS), bench.add(b"good")]),
        (zombie, [bench.state(State.SUCCESS, "zombie"), bench.add(b"zombie")]),
        (twin, [bench.state(State.FAILURE), bench.add(b"twin")]),
        (spoilt, [bench.add(b"spoilt"), bench.state(State.SUCCESS, "spoilt")]),
        (unclaimed, [bench.add(b"unclaimed"), bench.claimed(unclaimed, "complete")]),
        (good, [bench.add(b"again")]),
    ]
    assert bench.settle(*batch) == "clfeul"
    assert bench.waiting() == [b"good"]
    assert bench.holding() == [spoilt.entry, unclaimed.entry]


# -- resending -------------------------------------------------------------------------------------------------


def test_the_same_batch_is_committed_once_and_the_next_one_again(bench: Bench) -> None:
    """That the bench sends everything twice shows the rest."""
    for number, worker in ((1, "w1"), (2, "w1"), (2, "w2")):
        assert bench.settle((bench.take(worker), [bench.add(level=HIGH)]), number=number, worker=worker) == "c"
    assert bench.waiting(bench.queue.streams[HIGH - 1]) == [b"next"] * 3


def test_the_note_of_the_last_batch_expires_when_the_worker_is_long_gone(bench: Bench) -> None:
    bench.settle((bench.take(), []))
    assert bench.client.pttl(bench.keys.batch("w1")) > 0


def test_a_copy_of_an_earlier_batch_that_comes_late_changes_nothing(bench: Bench) -> None:
    bench.enqueue(bench.add(b"a"), bench.add(b"b"))
    first, second = bench.take("w1"), bench.take("w1")
    for number, hold, verdict in ((1, first, "c"), (2, second, "c"), (1, first, "l"), (2, second, "c")):
        assert bench.settle((hold, [bench.add(level=HIGH)]), number=number) == verdict
    assert len(bench.waiting(bench.queue.streams[HIGH - 1])) == 2
