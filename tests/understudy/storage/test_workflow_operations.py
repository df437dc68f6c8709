"""The operations of workflows: each call of the server fails in turn, and all of it is there or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.depth import on_the_server_first
from understudy.brokers.operations import Operations
from understudy.brokers.pipelines import stop
from understudy.brokers.workflows import UNFINISHED, Kept, abort, begin, found, step, unless_revoked
from understudy.errors import ServerUnavailable
from understudy.holds import GROUP, Hold
from understudy.plans.place import Place, Stream
from understudy.states import State
from understudy.storage import scripts

from .bench import Bench, Ops
from .injected import Injected
from .test_failing_calls import NOW, benches, shown

KEPT = Kept(60, 120)
STREAMS = (Stream("q", 2),)
Prepared = tuple[Hold, list[Ops]]

#: Nodes 1 and 2 one after the other, 3 a group of 4 and of the strand 5-6; 7 comes after it. Callbacks 8 and 9.
PLAN = {
    "v": 1,
    "size": 9,
    "to": "q:2",
    "good": "8",
    "bad": "9",
    "p1": "t - 2 1 1 - - -",
    "p2": "t - 3 1 1 8 9 1",
    "p3": "g - 7 1 - - - 2 2 2",
    "p5": "l 3 6 5 - - - 2",
    "p6": "t 3 - 5 1 - - 5",
    "p7": "t - - 1 1 - - 3",
    **{f"m{node}": f"message {node}" for node in (1, 2, 6, 7)},
    "k8": "1 good w.?",
    "k9": "1 bad w.?",
}


def planned(bench: Bench, **more: object) -> None:
    bench.client.hset(bench.keys.workflow("w"), mapping=PLAN | more)
    bench.client.setbit(bench.keys.ended_nodes("w"), 9, 0)


def ends(bench: Bench, node: int, up: str, state: State, *more: Ops) -> Prepared:
    """The outcome of a node, as a worker commits it."""
    hold = bench.take()
    place = Place("w", node, up, STREAMS)

    def tell(operations: Operations) -> None:
        step(operations, bench.keys, place, state, message_id=f"w.{node}", kept=KEPT)

    return hold, [bench.state(state, f"w.{node}", result=b"1"), tell, *more]


def next_step(bench: Bench) -> Prepared:
    planned(bench)
    return ends(bench, 1, "-", State.SUCCESS)


def a_group_begins(bench: Bench) -> Prepared:
    planned(bench)
    return ends(bench, 2, "-", State.SUCCESS)


def the_last_member(bench: Bench) -> Prepared:
    planned(bench, d3=1)
    return ends(bench, 4, "3", State.SUCCESS)


def a_member_fails(bench: Bench) -> Prepared:
    planned(bench, d3=1)
    return ends(bench, 6, "3", State.FAILURE)


def the_end(bench: Bench) -> Prepared:
    planned(bench)
    return ends(bench, 7, "-", State.SUCCESS)


def the_chain_stops(bench: Bench) -> Prepared:
    planned(bench)
    return ends(bench, 2, "-", State.FAILURE)


def goes_on_elsewhere(bench: Bench) -> Prepared:
    bench.client.hset(bench.keys.composed("n"), mapping=PLAN)
    bench.client.pexpire(bench.keys.composed("n"), 60_000)
    lock = bench.keys.unique("a:k")
    bench.client.hset(lock, "id", "m")
    bench.client.pexpire(lock, 60_000)

    def tell(operations: Operations) -> None:
        unless_revoked(operations, bench.keys, "m")
        found(operations, bench.keys, "w", "n", 9)
        begin(operations, bench.keys, "w", 1, STREAMS, kept=KEPT)
        operations.free(lock, "m", ended=False, flow=bench.keys.workflow("w"))

    return bench.take(), [bench.state(None, instead="w.7"), tell]


def a_pipeline_stops(bench: Bench) -> Prepared:
    options = {"pipe_target": {"message_id": "b", "options": {"pipe_target": {"message_id": "c", "options": {}}}}}
    bench.client.hset(bench.keys.state("b"), mapping={"state": "STARTED"})

    def tell(operations: Operations) -> None:
        stop(operations, bench.keys, "m", options, state=State.FAILURE, exception=b"why", ttl=60)

    return bench.take(), [bench.state(State.FAILURE), tell]


def settle(bench: Bench, prepared: Prepared) -> str:
    """Commit the outcome. ``goes_on_elsewhere`` and ``a_pipeline_stops`` write two operations at once."""
    hold, ops = prepared
    operations = Operations(bench.keys.clock, bench.keys.batch("w1"))
    operations.args += (operations.number(hold.stream), hold.entry, 0)
    for write in ops:
        write(operations)
    names = {"state", "step", "begin", "found", "stop", "unless", "free"}
    operations.args[2] = sum(isinstance(one, str) and one in names for one in operations.args)
    args = [1, "workers", 1, *operations.args]
    return str(bench.storage.run("settle", operations.keys, args).decode())


CASES = [
    *(next_step, a_group_begins, the_last_member, a_member_fails, the_end, the_chain_stops),
    *(goes_on_elsewhere, a_pipeline_stops),
]


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("prepare", CASES)
def test_whichever_call_fails_the_workflow_has_gone_on_whole_or_not_at_all(
    bench: Bench, prepare: Callable[[Bench], Prepared]
) -> None:
    fresh: Iterator[Bench] = benches(bench)
    whole_bench = next(fresh)
    assert settle(whole_bench, prepare(whole_bench)) == "c"
    whole = shown(whole_bench)
    failed = []
    for nth in range(1, 1_000):
        one = next(fresh)
        hold, ops = prepare(one)
        before = shown(one)
        injected = Injected(one.storage, "settle", nth=nth, stream=hold.stream, entry=hold.entry)
        try:
            verdict = settle(one, (hold, ops))
        except ServerUnavailable:
            verdict = "not asked"  # what comes after the outcome: the answer that is kept
        what = injected.failed()
        if not what:
            break
        failed.append(what)
        after = shown(one)
        batch = one.keys.batch("w1").removeprefix(one.keys.namespace)
        stream = one.stream.removeprefix(one.keys.namespace)
        names = (set(whole) | set(before)) - {batch, *((stream,) if what == "pcall XDEL" else ())}
        wanted = before if verdict == "e" else whole
        assert {name: after.get(name) for name in names} == {name: wanted.get(name) for name in names}, what
    assert failed.count("call HSET") >= 1
    assert "call XACK" in failed


def test_a_node_that_has_ended_counts_once(bench: Bench) -> None:
    planned(bench)
    assert settle(bench, ends(bench, 4, "3", State.SUCCESS)) == "c"
    flow = bench.keys.workflow("w")
    assert bench.client.hget(flow, "d3") == b"1"
    hold, ops = ends(bench, 4, "3", State.SUCCESS)
    bench.client.delete(bench.keys.state("w.4"))  # somebody has forgotten it
    assert bench.settle((hold, ops), number=2) == "f"
    assert bench.client.hget(flow, "d3") == b"1"


@pytest.mark.parametrize(("until", "verdict"), [(NOW + 1, "r"), (NOW, "c")])
def test_in_the_place_of_a_message_that_was_revoked_nothing_goes_on(bench: Bench, until: int, verdict: str) -> None:
    fresh = next(benches(bench))
    hold, ops = goes_on_elsewhere(fresh)
    fresh.client.zadd(fresh.keys.revoked, {"m": until})
    before = shown(fresh)
    assert settle(fresh, (hold, ops)) == verdict
    after = shown(fresh)
    after.pop(fresh.keys.batch("w1").removeprefix(fresh.keys.namespace))
    assert (after == before) == (verdict == "r")


def test_a_workflow_that_was_revoked_goes_on_no_more(bench: Bench) -> None:
    planned(bench)
    running = ends(bench, 1, "-", State.SUCCESS)
    operations = Operations(bench.keys.clock, bench.keys.revoked, bench.keys.stopped)
    abort(operations, bench.keys, Place("w", 7, "-", STREAMS), kept=KEPT)
    args: list[Any] = ["w", "stay", 60_000, bench.keys.revocations, *operations.args]
    assert bench.run("abort", operations.keys, args, resent=0) == 1
    assert bench.waiting() == [b"bad w.7"]
    assert bench.settle(running, number=1) == "c"
    assert bench.waiting() == [b"bad w.7"]


# -- the other scripts of workflows --------------------------------------------------------------------------------

#: What a call of a script is made of.
Call = tuple[str, list[str], list[Any]]


def launch(bench: Bench) -> Call:
    aside = bench.keys.composed("w")
    bench.client.hset(aside, mapping={name: value for name, value in PLAN.items() if name != "to"})
    bench.client.pexpire(aside, 60_000)
    operations = Operations(bench.keys.clock, aside, bench.keys.workflow("w"), bench.keys.ended_nodes("w"))
    begin(operations, bench.keys, "w", 3, STREAMS, kept=KEPT)
    return "launch", operations.keys, ["token", len(PLAN) - 1, 9, 1, "to", "q:2", *operations.args]


def fan(bench: Bench, last: int = 1) -> Call:
    planned(bench, c3=0)
    bench.client.sadd(bench.keys.fanouts, "w 3")
    operations = Operations(bench.keys.clock, bench.keys.workflow("w"), bench.keys.fanouts)
    bench.add(b"a member")(operations)
    bench.later(b"one that waits", message="w.6")(operations)
    begin(operations, bench.keys, "w", 3, STREAMS, kept=KEPT)
    return "fan", operations.keys, ["w 3", 3, 0, last, 3, *operations.args]


def fan_a_page(bench: Bench) -> Call:
    return fan(bench, last=0)


def failed_flow(bench: Bench) -> None:
    planned(bench, d3=1, e3=1, f3=6, x5=6, x1=3, state="FAILURE", done_at=1, expires_at=2, cause=6, doomed=6)
    for node in (1, 2, 4, 6):
        bench.client.setbit(bench.keys.ended_nodes("w"), node, 1)
        bench.client.hset(bench.keys.state(f"w.{node}"), mapping={"state": "FAILURE"})
    bench.client.zadd(bench.keys.ended_workflows, {"w": 2})


def reopen(bench: Bench) -> Call:
    failed_flow(bench)
    records = [bench.keys.state(f"w.{node}") for node in (6, 3)]
    nodes = [6, "3", 5, "t", 3, "-", 1, "g"]
    return "reopen", [bench.keys.workflow("w"), bench.keys.ended_nodes("w"), *records], ["0", "back", *nodes]


def wipe(bench: Bench) -> Call:
    failed_flow(bench)
    nodes = [2, "-", 1, "t", 3, "-", 1, "g", 4, "3", "-", "t", 6, "3", 5, "t"]
    records = [bench.keys.state(f"w.{node}") for node in nodes[::4]]
    items = [bench.keys.items(f"w.{node}") for node in (2, 4, 6)]
    bench.client.hset(items[0], "ada", "1")
    names = [bench.keys.workflow("w"), bench.keys.ended_nodes("w"), *records, *items]
    return "reopen", names, ["0", "wipe", *nodes]


def relaunch(bench: Bench) -> Call:
    failed_flow(bench)
    names = [bench.keys.clock, bench.keys.workflow("w"), bench.keys.ended_workflows, bench.keys.fanouts]
    return "relaunch", names, ["w", "0", "1:abc", 10, bench.keys.wake, bench.keys.channel("w")]


def stop_all(bench: Bench) -> Call:
    planned(bench)
    operations = Operations(bench.keys.clock, bench.keys.revoked, bench.keys.stopped)
    abort(operations, bench.keys, Place("w", 7, "-", STREAMS), kept=KEPT)
    return "abort", operations.keys, ["w", "stop", 60_000, bench.keys.revocations, *operations.args]


def sweep(bench: Bench) -> Call:
    failed_flow(bench)
    records = [bench.keys.state(f"w.{node}") for node in range(1, 10)]
    own = [bench.keys.workflow("w"), bench.keys.ended_nodes("w"), bench.keys.ended_workflows]
    return "sweep", [bench.keys.clock, *own, *records], ["w", 0, 1]


def revoke(bench: Bench) -> Call:
    planned(bench, d3=1)
    keys, queue, id = bench.keys, bench.queue, "w.6"
    bench.enqueue(bench.later(b"waits", message=id))
    operations = Operations(
        *(
            keys.clock,
            keys.revoked,
            keys.stopped,
            keys.state(id),
            keys.items(id),
            keys.claim(""),
            keys.claimed_items(""),
        ),
        *(queue.delayed, queue.payloads, queue.ids, *queue.streams),
    )
    step(operations, keys, Place("w", 6, "3", STREAMS), State.REVOKED, message_id=id, kept=KEPT)
    args = [id, "stop", 60_000, int(UNFINISHED * 1000), b"why", keys.channel(id), keys.revocations, GROUP, 1, "", ""]
    return "revoke", operations.keys, [*args, "", "", 1, *operations.args]


def each_call(bench: Bench, prepare: Callable[[Bench], Call]) -> Iterator[tuple[Bench, Call, str, bool, Any, Any]]:
    """A bench for each call of the server, which has failed there: the call of the script, what failed, whether the
    script said so, what was there before, and what a run leaves in which nothing fails."""
    fresh = benches(bench)
    one = next(fresh)
    name, keys, args = prepare(one)
    one.storage.run(name, keys, args)
    whole = shown(one)
    for nth in range(1, 1_000):
        one = next(fresh)
        call = name, keys, args = prepare(one)
        before = shown(one)
        injected = Injected(one.storage, name, nth=nth)
        try:
            one.storage.run(name, keys, args)
            refused = False
        except ServerUnavailable:
            refused = True
        what = injected.failed()
        if not what:
            assert nth > 4
            return
        one.storage._scripts[name] = one.client.register_script(scripts.source(name))
        yield one, call, what, refused, before, whole


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("prepare", [launch, fan, fan_a_page, reopen, wipe, relaunch, stop_all])
def test_whichever_call_fails_all_of_a_script_is_there_or_nothing(
    bench: Bench, prepare: Callable[[Bench], Call]
) -> None:
    count = 0
    for one, _, what, refused, before, whole in each_call(bench, prepare):
        after, count = shown(one), count + 1
        assert refused == what.startswith("call"), what
        if not refused and what == "pcall SREM":
            assert after.pop(":fanouts")  # it is found to have nothing to move
        if refused and prepare is launch:  # what was put aside may go: nobody can begin it any more
            before, after = (
                {name: text for name, text in all.items() if "composed" not in name} for all in (before, after)
            )
        assert after == (before if refused else whole), what
    assert count > 4


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("prepare", [fan, fan_a_page, reopen, wipe, relaunch, stop_all, sweep, revoke])
def test_whichever_call_fails_to_ask_again_brings_it_to_its_end(bench: Bench, prepare: Callable[[Bench], Call]) -> None:
    for one, (name, keys, args), what, _, _, whole in each_call(bench, prepare):
        one.storage.run(name, keys, args)
        assert shown(one) == whole, what


def test_what_is_of_workflows_is_made_ready_only_for_workflows(bench: Bench) -> None:
    counted = scripts.source("settle").replace("learn = function()", "learn = function() redis.call('INCR', 'learnt')")
    bench.storage._scripts["settle"] = bench.client.register_script(counted)
    bench.client.delete("learnt")
    bench.storage.run("settle", *_one(bench, bench.take(), [bench.state(State.SUCCESS)], number=1))
    assert bench.client.get("learnt") is None
    planned(bench)
    bench.storage.run("settle", *_one(bench, *ends(bench, 1, "-", State.SUCCESS), number=2))
    assert bench.client.getdel("learnt") == b"1"


def _one(bench: Bench, hold: Hold, ops: list[Ops], *, number: int) -> tuple[list[str], list[Any]]:
    operations = Operations(bench.keys.clock, bench.keys.batch("w1"))
    operations.args += (operations.number(hold.stream), hold.entry, len(ops))
    for write in ops:
        write(operations)
    return operations.keys, [number, GROUP, 1, *operations.args]
