"""Each call of the server fails in turn, for one message of a batch: all of its outcome is there or nothing, and its
neighbours are committed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.depth import on_the_server_first
from understudy.brokers.names import HIGH, LOW
from understudy.errors import ServerUnavailable
from understudy.holds import Hold
from understudy.states import State
from understudy.storage.client import Storage

from .bench import Bench, Ops
from .dumps import dump
from .injected import Injected

NOW = 1_772_366_400_000
Prepared = tuple[Hold, list[Ops]]


def success(bench: Bench) -> Prepared:
    hold = bench.take()
    bench.claim(hold)
    bench.started(hold)
    bench.stage("letter")
    bench.client.hset(bench.keys.items("m"), mapping={"ada": f"?{hold.token}", "bob": "1"})
    bench.client.hset(bench.keys.claimed_items("k"), "ada", "1")
    ops = [
        bench.begun(hold),
        bench.state(State.SUCCESS, result=b"1", next_run=b"", traceback=b""),
        bench.marks(hold, {"ada": "1", "bob": "", "cid": "1"}, ttl=60),
        bench.claimed(hold, "complete"),
        bench.publish(),
        bench.add(b"urgent", HIGH),
        bench.later(b"in a while"),
    ]
    return hold, ops


def retry(bench: Bench) -> Prepared:
    bench.enqueue(bench.later(b"a twin that waits"))
    hold = bench.take()
    bench.claim(hold)
    bench.started(hold)
    bench.client.hset(bench.keys.items("m"), "ada", f"?{hold.token}")
    bench.client.hset(bench.keys.state("m"), mapping={"next_run": "7", "exception": "the first"})
    ops = [
        bench.begun(hold),
        bench.state(State.RETRY, next_run=b"9", exception=b"the second", traceback=b"where"),
        bench.marks(hold, {"ada": ""}),
        bench.claimed(hold, "keep"),
        bench.later(b"again"),
        bench.later(b"and again"),
    ]
    return hold, ops


def failure(bench: Bench) -> Prepared:
    hold = bench.take()
    bench.claim(hold)
    bench.client.hset(bench.keys.claimed_items("k"), "ada", "1")
    record = bench.keys.state("m")
    bench.client.hset(record, mapping={"state": "SUCCESS", "expires_at": NOW, "result": "expired"})
    for name, at in (("old", NOW - 60_000), ("young", NOW - 1)):
        bench.client.zadd(bench.queue.dead, {name: at})
        bench.client.hset(bench.queue.bodies, name, "{}")
    ops = [
        bench.state(State.FAILURE, exception=b"why"),
        bench.claimed(hold, "release"),
        bench.dead(hold),
    ]
    return hold, ops


def taken_back(bench: Bench) -> Prepared:
    hold = bench.take()
    bench.claim(hold)
    return hold, [bench.claimed(hold, "undo"), bench.add(b"back", HIGH), bench.state(None, retries=1)]


def finished(bench: Bench) -> Prepared:
    hold = bench.take()
    bench.started(hold)
    bench.client.hset(bench.keys.state("m"), mapping={"state": "SUCCESS", "expires_at": NOW + 60_000})
    return hold, [bench.begun(hold), bench.state(State.FAILURE), bench.add(b"follow-up", HIGH)]


def benches(bench: Bench) -> Iterator[Bench]:
    """Fresh ones, each in a namespace of its own within that of the test."""
    for number in range(1, 1_000):
        storage = Storage(bench.storage.client, namespace=f"{bench.keys.namespace}:{number}")
        storage.client.set(storage.keys.clock, NOW)
        yield Bench(storage)


def shown(bench: Bench) -> dict[str, str]:
    """All that is there, without what is new every time, and without what is only not swept yet."""
    found = {}
    for name, (content, expires) in dump(bench.storage).items():
        if isinstance(content, dict) and float(content.get(b"expires_at", NOW + 1)) <= NOW:
            continue
        if isinstance(content, dict):
            parts = [f"{part}: {content[part]}" for part in content if part != b"old"]
        else:
            parts = [repr([part for part in content if part[0] != b"old"] if isinstance(content, list) else content)]
        parts = [part.replace(f"{bench.keys.namespace}:", ":") for part in parts]
        parts = [re.sub(r"[0-9a-f]{16}\b", "<unique>", re.sub(r"\d{13}-\d+", "<entry>", part)) for part in parts]
        found[name.removeprefix(bench.keys.namespace)] = ", ".join(sorted(parts)) + f" expires: {expires}"
    return found


def settle(bench: Bench, prepared: Prepared) -> str:
    """Commit an outcome between two others, that have nothing in common with it but the round trip."""
    stream = bench.queue.streams[LOW - 1]
    before, after = ((bench.take(stream=stream), [bench.state(State.SUCCESS, name)]) for name in ("before", "after"))
    return bench.settle(before, prepared, after)


def each_failing_call(
    bench: Bench, prepare: Callable[[Bench], Prepared]
) -> Iterator[tuple[Bench, str, str, dict[str, str], dict[str, str]]]:
    """Commit an outcome again and again, while one call of the server after the other fails.

    Yields the bench, what failed, the verdicts, and what was there before and after, without the neighbours' share.
    """
    fresh = benches(bench)
    for nth in range(1, 200):
        one = next(fresh)
        hold, ops = prepare(one)
        before = shown(one)
        injected = Injected(one.storage, "settle", nth=nth, stream=hold.stream, entry=hold.entry)
        verdicts = settle(one, (hold, ops))
        what = injected.failed()
        if not what:
            return
        after, keys = shown(one), one.keys
        for name in (keys.batch("w1"), keys.state("before"), keys.state("after"), one.queue.streams[LOW - 1]):
            after.pop(name.removeprefix(keys.namespace), None)
            before.pop(name.removeprefix(keys.namespace), None)
        yield one, what, verdicts, before, after
    raise AssertionError("there is no end to the calls")


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("prepare", [success, retry, failure, taken_back, finished])
def test_whichever_call_fails_the_outcome_is_there_whole_or_not_at_all(
    bench: Bench, prepare: Callable[[Bench], Prepared]
) -> None:
    fresh = benches(bench)
    whole_bench = next(fresh)
    verdict = settle(whole_bench, prepare(whole_bench))[1]
    assert verdict == ("f" if prepare is finished else "c")
    whole = shown(whole_bench)
    failed = []
    for nth in range(1, 1_000):
        one = next(fresh)
        hold, ops = prepare(one)
        before = shown(one)
        injected = Injected(one.storage, "settle", nth=nth, stream=hold.stream, entry=hold.entry)
        verdicts = settle(one, (hold, ops))
        what = injected.failed()
        if not what:
            break
        failed.append(what)
        after = shown(one)
        same = set(whole) | set(before)
        same -= {key.removeprefix(one.keys.namespace) for key in (one.keys.batch("w1"), one.queue.streams[LOW - 1])}
        for name in ("before", "after"):
            assert one.hash(one.keys.state(name))[b"state"] == b"SUCCESS", what
            same.discard(one.keys.state(name).removeprefix(one.keys.namespace))
        assert one.client.xlen(one.queue.streams[LOW - 1]) == 0
        if what.startswith("call"):
            assert verdicts == "cec", what
            assert {name: after.get(name) for name in same} == {name: before.get(name) for name in same}, what
            assert one.holding() == [hold.entry]
        else:
            assert verdicts == f"c{verdict}c", what
            # These come after the acknowledgement; what they leave behind has no effect.
            left = {"pcall XDEL": one.stream, "pcall HDEL": one.keys.started("w1")}.get(what, "")
            same.discard(left.removeprefix(one.keys.namespace))
            assert {name: after.get(name) for name in same} == {name: whole.get(name) for name in same}, what
            assert one.holding() == []
    assert {"pcall XPENDING", "call TYPE", "call HGETALL", "call XACK", "pcall XDEL"} <= set(failed)
    assert ("pcall PUBLISH" in failed) == (prepare is not finished), "that nobody may listen or be told is no failure"
    assert {what for what in failed if what.startswith("pcall")} <= {
        *("pcall XPENDING", "pcall PUBLISH", "pcall XDEL", "pcall HDEL", "pcall ZREM")
    }, "the others must fail the outcome"


@pytest.mark.deep
@on_the_server_first
def test_whichever_call_of_a_batch_fails_before_its_first_outcome_nothing_is_written(bench: Bench) -> None:
    fresh = benches(bench)
    for nth in range(1, 4):
        one = next(fresh)
        hold, ops = success(one)
        before = shown(one)
        injected = Injected(one.storage, "settle", nth=nth)
        with pytest.raises(ServerUnavailable):
            one.settle((hold, ops))
        assert injected.failed() == ["call HMGET", "call GET", "call HDEL"][nth - 1]
        assert shown(one) == before


@pytest.mark.deep
@on_the_server_first
def test_whichever_call_fails_all_messages_are_accepted_or_none(bench: Bench) -> None:
    def send(one: Bench) -> Any:
        return one.enqueue(
            one.add(b"now"), one.later(b"later"), one.later(b"again"), one.add(b"urgent", HIGH), token="t"
        )

    fresh = benches(bench)
    for nth in range(1, 1_000):
        one = next(fresh)
        one.enqueue(one.later(b"waits"))
        before = shown(one)
        injected = Injected(one.storage, "enqueue", nth=nth)
        try:
            send(one)
            accepted = True
        except ServerUnavailable:
            accepted = False
        what = injected.failed()
        if not what:
            break
        assert accepted == what.startswith("pcall")
        if not accepted:
            after = shown(one)
            producer = one.keys.producer("p").removeprefix(one.keys.namespace)
            before.pop(producer)
            assert "'t'" not in after.pop(producer, ""), "or a resend would be taken for accepted"
            assert after == before, what
    assert nth > 10


@pytest.mark.deep
@on_the_server_first
def test_whichever_call_fails_a_page_of_a_large_outcome_is_moved_or_not(bench: Bench) -> None:
    fresh = benches(bench)
    for nth in range(1, 1_000):
        one = next(fresh)
        one.stage("a", "b", "c")
        one.settle((one.take(), [one.publish()]))
        before = shown(one)
        injected = Injected(one.storage, "pump", nth=nth)
        try:
            one.pump(3, one.add(b"a"), one.later(b"b"))
            moved = True
        except ServerUnavailable:
            moved = False
        what = injected.failed()
        if not what:
            break
        assert moved == what.startswith("pcall"), what
        if not moved:
            assert shown(one) == before, what
    assert nth > 8


@pytest.mark.parametrize("ttl", [1e12, 1e18, 1e300])
def test_a_ttl_beyond_what_a_server_counts_fails_nothing(bench: Bench, ttl: float) -> None:
    hold = bench.take()
    bench.claim(hold)
    bench.client.hset(bench.keys.items("m"), "ada", "1")
    ops = [
        bench.state(State.SUCCESS, ttl=ttl),
        bench.marks(hold, {"ada": "1"}, ttl=ttl),
        bench.claimed(hold, "complete", ttl=ttl),
        bench.dead(hold, ttl=ttl),
        bench.later(delay=ttl),
    ]
    assert bench.settle((hold, ops)) == "c"
    assert bench.client.pttl(bench.keys.state("m")) > 10**14
    assert bench.client.zcard(bench.queue.dead) == 1


@pytest.mark.brokers("server")
def test_a_stream_whose_ids_are_used_up_fails_the_one_outcome_that_means_it(bench: Bench) -> None:
    urgent = bench.queue.streams[HIGH - 1]
    bench.client.xadd(urgent, {"m": "the last one"}, id=f"{2**64 - 1}-{2**64 - 1}")
    hold, ops = success(bench)
    before = shown(bench)
    assert settle(bench, (hold, ops)) == "cec"
    after = shown(bench)
    for name in (key.removeprefix(bench.keys.namespace) for key in (bench.keys.state("m"), bench.queue.delayed)):
        assert after.get(name) == before.get(name)
    assert bench.holding() == [hold.entry]
