"""What the operations ``unique`` and ``free`` do, whichever call of the server fails. What follows for senders:
``tests/understudy/test_unique.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.depth import on_the_server_first
from understudy.brokers.names import LOW
from understudy.brokers.operations import Operations
from understudy.errors import ServerUnavailable
from understudy.holds import Hold
from understudy.states import State
from understudy.uniqueness import Lock, refusals

from .bench import Bench, Ops
from .injected import Injected
from .test_failing_calls import benches, shown


def unique(bench: Bench, message: str, *, name: str = "a:k", ends: str = "done", ttl: float = 60) -> Ops:
    return lambda operations: operations.unique(bench.keys, Lock(name, ends, ttl), message, delay=0)


def free(bench: Bench, message: str, *, ended: bool = True, name: str = "a:k") -> Ops:
    return lambda operations: operations.free(bench.keys.unique(name), message, ended=ended)


def enqueue(bench: Bench, *write: Ops, token: str = "") -> dict[int, str]:
    """Accept messages; what was refused. The call is made twice, and the second is told what the first was."""
    operations = Operations(bench.keys.clock, bench.keys.producer("p"))
    for one in write:
        one(operations)
    token = token or f"t{next(bench._numbers)}"
    arguments = ["1", token, len(write), *operations.args]
    reply = bench.storage.run("enqueue", operations.keys, arguments)
    before = shown(bench)
    assert bench.storage.run("enqueue", operations.keys, arguments) == (reply if isinstance(reply, bytes) else 0)
    assert shown(bench) == before, "enqueue is not safe to resend"
    return refusals(reply) if isinstance(reply, bytes) else {}


def owner(bench: Bench) -> bytes | None:
    return bench.hash(bench.keys.unique("a:k")).get(b"id")


def test_the_second_one_of_a_batch_and_of_another_is_left_out_and_the_rest_accepted(bench: Bench) -> None:
    first, second = unique(bench, "first"), unique(bench, "second")
    assert enqueue(bench, first, bench.add(b"1"), bench.add(b"2"), second, bench.later(), bench.add(b"3")) == {
        2: "first"
    }
    assert bench.waiting() == [b"1", b"2", b"3"]
    assert bench.client.zcard(bench.queue.delayed) == 0
    assert enqueue(bench, second, bench.add(b"4"), unique(bench, "third", name="a:other"), bench.add(b"5")) == {
        1: "first"
    }
    assert bench.waiting() == [b"1", b"2", b"3", b"5"]
    assert enqueue(bench, bench.add(b"6")) == {}, "what an earlier call was told is not told again"


def test_it_is_free_for_the_one_that_set_it_only_and_when_it_has_ended(bench: Bench) -> None:
    enqueue(bench, unique(bench, "m"), bench.add())
    hold = bench.taken()
    assert bench.settle((hold, [free(bench, "m", ended=False), bench.add(b"again")])) == "c"
    assert owner(bench) == b"m"
    assert bench.settle((bench.taken(), [free(bench, "n"), bench.add(b"again")])) == "c"
    assert owner(bench) == b"m"
    assert bench.settle((bench.taken(), [free(bench, "m")])) == "c"
    assert owner(bench) is None


def test_an_outcome_that_is_not_held_frees_nothing(bench: Bench) -> None:
    enqueue(bench, unique(bench, "m"), bench.add())
    hold = bench.taken("dead")
    bench.reap("dead", resent=[b"reaped", 0])
    assert bench.settle((hold, [free(bench, "m")])) == "l"
    assert owner(bench) == b"m"


def test_one_that_had_ended_before_is_free_whatever_its_outcome_says(bench: Bench) -> None:
    enqueue(bench, unique(bench, "m"), bench.add())
    hold = bench.taken()
    bench.client.hset(bench.keys.state("m"), mapping={"state": "SUCCESS", "expires_at": 9e15, "done_at": 5})
    ops = [bench.state(State.RETRY), free(bench, "m", ended=False), bench.add(b"again")]
    assert bench.settle((hold, ops)) == "f"
    assert owner(bench) is None
    assert bench.waiting() == []


def test_what_follows_is_left_out_and_told_behind_the_verdicts(bench: Bench) -> None:
    enqueue(bench, unique(bench, "standing"), bench.add(b"0"))
    bench.taken("other")
    one, two = bench.take(), bench.take()
    ops = [unique(bench, "x"), bench.add(b"x"), unique(bench, "y", name="a:free"), bench.add(b"y")]
    again = [bench.state(State.SUCCESS, "two"), unique(bench, "z", name="a:free"), bench.later()]
    verdicts = bench.settle((one, ops), (two, again))
    assert verdicts[:2] == "cc"
    assert refusals(verdicts[2:].encode()) == {1: "standing", 3: "y"}
    assert bench.waiting() == [b"y"]
    assert bench.hash(bench.keys.state("two"))[b"state"] == b"SUCCESS"


def test_a_page_of_a_large_outcome_leaves_out_duplicates_and_says_so(bench: Bench) -> None:
    bench.stage("a", "b", "c")
    bench.settle((bench.take(), [bench.publish()]))
    reply = bench.run(
        "pump",
        *pumped(bench, unique(bench, "a"), bench.add(b"a"), unique(bench, "b"), bench.add(b"b"), bench.add(b"c")),
        resent=-1,
    )
    assert reply == b"0 2:1:a"
    assert bench.waiting() == [b"a", b"c"]


def pumped(bench: Bench, *write: Ops) -> tuple[list[str], list[Any]]:
    operations = Operations(bench.keys.clock, bench.keys.published("o"), bench.keys.outbox)
    for one in write:
        one(operations)
    return operations.keys, ["o", 3, 3, len(write), *operations.args]


@pytest.mark.parametrize("ends", ["done", "started"])
@pytest.mark.parametrize(
    ("record", "stands"),
    [
        ({}, "both"),
        ({"state": "STARTED", "by": "q/2/1-1"}, "done"),
        ({"by": "q/2/1-1"}, "done"),
        ({"state": "RETRY", "by": "q/2/1-1"}, "done"),
        ({"state": "SUCCESS", "by": "q/2/1-1", "done_at": 8e15, "expires_at": 9e15}, ""),
        ({"state": "FAILURE", "done_at": 8e15, "expires_at": 9e15}, ""),
        ({"state": "SUCCESS", "done_at": 5, "expires_at": 9e15}, "both"),
        ("not a hash", "both"),
    ],
)
def test_whether_one_stands_is_read_from_its_record(bench: Bench, ends: str, record: Any, stands: str) -> None:
    enqueue(bench, unique(bench, "m", ends=ends), bench.add())
    if isinstance(record, dict):
        for name, value in record.items():
            bench.client.hset(bench.keys.state("m"), name, value)
    else:
        bench.client.set(bench.keys.state("m"), record)
    told = enqueue(bench, unique(bench, "n", ends=ends), bench.add())
    assert told == ({1: "m"} if stands in ("both", ends) else {})


@pytest.mark.parametrize("ends", ["done", "started"])
@pytest.mark.parametrize(
    ("flow", "stands"),
    [({"v": 1}, True), ({"v": 1, "state": "SUCCESS"}, False), ({}, False), ("not a hash", False)],
)
def test_whether_one_stands_that_goes_on_is_read_from_its_workflow(
    bench: Bench, ends: str, flow: Any, stands: bool
) -> None:
    enqueue(bench, unique(bench, "m", ends=ends), bench.add())
    key = bench.keys.workflow("w")
    assert bench.settle((bench.taken(), [goes_on(bench, "another"), goes_on(bench, "m")])) == "c"
    if isinstance(flow, dict):
        for name, value in flow.items():
            bench.client.hset(key, name, value)
    else:
        bench.client.set(key, flow)
    told = enqueue(bench, unique(bench, "n", ends=ends), bench.add())
    assert told == ({1: "m"} if stands and ends == "done" else {})


def goes_on(bench: Bench, message: str) -> Ops:
    def write(operations: Operations) -> None:
        operations.free(bench.keys.unique("a:k"), message, ended=False, flow=bench.keys.workflow("w"))

    return write


@pytest.mark.deep
@on_the_server_first
def test_whichever_call_fails_all_are_accepted_with_their_locks_or_none(bench: Bench) -> None:
    def ops(one: Bench) -> list[Ops]:
        return [
            *(unique(one, "refused"), one.later(b"refused")),
            *(unique(one, "fresh", name="a:new"), one.add(b"fresh")),
            *(unique(one, "twin", name="a:new"), one.add(b"twin")),
            *(unique(one, "heir", name="a:over"), one.later(b"heir", message="heir")),
        ]

    def prepare(one: Bench) -> None:
        enqueue(one, unique(one, "standing"), one.add(), unique(one, "gone", name="a:over"), one.add())
        one.client.hset(one.keys.state("gone"), mapping={"state": "SUCCESS", "done_at": 8e15, "expires_at": 9e15})

    failed = every_call(bench, "enqueue", prepare, lambda one, _: enqueue(one, *ops(one), token="t"))
    assert {"call HGETALL", "pcall HMGET", "pcall HGET", "call DEL", "call HSET", "call PEXPIRE"} <= set(failed)


@pytest.mark.deep
@on_the_server_first
def test_whichever_call_fails_the_lock_is_free_with_the_outcome_or_stands(bench: Bench) -> None:
    def prepare(one: Bench) -> Hold:
        enqueue(one, unique(one, "m"), one.add(b"m"), unique(one, "standing", name="a:other"), one.add(b"s"))
        return one.taken()

    def settle(one: Bench, hold: Hold) -> None:
        follow = [unique(one, "x", name="a:other"), one.add(b"x"), unique(one, "y", name="a:new"), one.add(b"y")]
        neighbour = one.take(stream=one.queue.streams[LOW - 1])
        verdicts = one.settle((hold, [one.state(State.SUCCESS), free(one, "m"), *follow]), (neighbour, []))
        assert verdicts[:2] == ("cc" if owner(one) is None else "ec")
        if verdicts[0] == "e":
            raise ServerUnavailable("an outcome that failed")

    failed = every_call(bench, "settle", prepare, settle)
    assert {"call HGETALL", "call DEL", "call PTTL", "call XACK"} <= set(failed)


def every_call(
    bench: Bench,
    script: str,
    prepare: Callable[[Bench], Hold | None],
    act: Callable[[Bench, Any], object],
) -> list[str]:
    """Let every call of a script fail in turn: what is wanted is there or nothing. Returns which failed."""
    failed: list[str] = []
    fresh = benches(bench)
    for nth in range(1, 1_000):
        one = next(fresh)
        hold = prepare(one)
        before = locks(one)
        which = {} if hold is None else {"stream": hold.stream, "entry": hold.entry}
        injected = Injected(one.storage, script, nth=nth, **which)
        try:
            act(one, hold)
            accepted = True
        except ServerUnavailable:
            accepted = False
        what = injected.failed()
        if not what:
            return failed
        failed.append(what)
        after = locks(one)
        assert what.startswith("pcall") or not accepted, what
        if not accepted:
            assert after == before, what
        else:
            assert after != before
    raise AssertionError("there is no end of calls")


def locks(bench: Bench) -> dict[str, str]:
    """Everything but what the calls themselves leave to be recognised by, and who holds what."""
    kept = {name: text for name, text in shown(bench).items() if ":producer:" not in name and ":worker:" not in name}
    return {name: text for name, text in kept.items() if ":q:" not in name or ":delayed" in name or ":payloads" in name}
