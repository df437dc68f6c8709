"""settle, of many outcomes that are a record and perhaps a claim: together they come to what each comes to alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.depth import on_the_server_first
from understudy.brokers.operations import Operations
from understudy.errors import ServerUnavailable
from understudy.holds import Hold
from understudy.outcome import Outcome
from understudy.states import State
from understudy.storage import scripts
from understudy.storage.client import Storage

from .bench import Bench, Ops
from .dumps import dump
from .injected import Injected

NOW = 1_772_366_400_000
#: Before a script: counts its calls.
COUNTS = """
local server = redis
local redis = {{}}
for _, how in ipairs({{'call', 'pcall'}}) do
  redis[how] = function(...)
    server.call('INCR', '{counter}')
    return server[how](...)
  end
end
"""
#: Before a script: a command fails for one key, or one entry, whenever it is called.
FAILS = """
local server = redis
local redis = {{ pcall = server.pcall }}
function redis.call(command, key, ...)
  local _, entry = ...
  if command == '{command}' and (key == '{key}' or entry == '{key}') then error({{err = 'ERR injected'}}) end
  return server.call(command, key, ...)
end
"""


class Case:
    """One message and its outcome, under names of its own."""

    def __init__(self, bench: Bench, name: str, *, begun: bool = False, claimed: bool = True) -> None:
        self.bench, self.name, self.key = bench, name, f"key of {name}"
        self.hold: Hold = bench.take()
        self.record, self.claim = bench.keys.state(name), bench.keys.claim(self.key)
        self.items = bench.keys.claimed_items(self.key)
        self.begun, self.claimed = begun, claimed
        if claimed:
            bench.claim(self.hold, name, self.key)
        if begun:
            bench.client.hset(bench.keys.started("w1"), f"{self.hold.stream} {self.hold.entry}", "1")
            bench.client.hset(self.record, mapping={"v": "1", "state": "STARTED", "by": self.hold.token})

    @property
    def outcome(self) -> tuple[Hold, list[Ops]]:
        bench, outcome = self.bench, Outcome(claim="complete", claim_ttl=3600, claim_result=b"42")

        def claimed(operations: Operations) -> None:
            operations.claim(self.claim, outcome, token=self.hold.token, items=self.items, ttl=60)

        ops = [bench.begun(self.hold)] if self.begun else []
        ops += [bench.state(State.SUCCESS, self.name, result=b"42", retries=0)]
        ops += [claimed] if self.claimed else []
        return self.hold, ops


def nothing(case: Case) -> None:
    """As nearly always."""


def retried(case: Case) -> None:
    case.bench.client.hset(case.record, mapping={"state": "RETRY", "exception": "e", "traceback": "t", "next_run": 1})


def reported(case: Case) -> None:
    case.bench.progress(case.hold)
    case.bench.client.hset(case.record, mapping={"state": "PROGRESS", "info": "5"})


def finished(case: Case) -> None:
    case.bench.client.hset(case.record, mapping={"state": "FAILURE", "expires_at": NOW + 1, "exception": "e"})


def expired(case: Case) -> None:
    case.bench.client.hset(case.record, mapping={"state": "SUCCESS", "expires_at": NOW, "info": "old"})


def lost(case: Case) -> None:
    case.bench.client.xack(case.hold.stream, "workers", case.hold.entry)


def without_a_claim(case: Case) -> None:
    case.bench.client.delete(case.claim)


def of_another(case: Case) -> None:
    case.bench.client.hset(case.claim, "token", "another")


def taken_over(case: Case) -> None:
    case.bench.client.hset(case.claim, "after", "a dead one")


def with_items(case: Case) -> None:
    case.bench.client.hset(case.items, "ada", "1")


def spoiled(case: Case) -> None:
    case.bench.spoil(case.record)


def spoiled_claim(case: Case) -> None:
    case.bench.spoil(case.claim)


def spoiled_items(case: Case) -> None:
    case.bench.spoil(case.items)


KINDS = [
    *(nothing, retried, reported, finished, expired, lost, without_a_claim, of_another, taken_over, with_items),
    *(spoiled, spoiled_claim, spoiled_items),
]


def cases(bench: Bench, *kinds: Callable[[Case], None], begun: bool = False) -> list[Case]:
    found = []
    for number, kind in enumerate(kinds):
        found.append(Case(bench, f"m{number}", begun=begun))
        kind(found[-1])
    return found


def benches(bench: Bench) -> Iterator[Bench]:
    """Fresh ones, each in a namespace of its own within that of the test."""
    for number in range(1, 1_000):
        storage = Storage(bench.storage.client, namespace=f"{bench.keys.namespace}:{number}")
        storage.client.set(storage.keys.clock, NOW)
        yield Bench(storage)


def shown(bench: Bench) -> dict[str, str]:
    """All that is there but the note of the last batch, and without what is new every time."""
    found = {}
    for name, (content, expires) in dump(bench.storage).items():
        parts = content.items() if isinstance(content, dict) else [content]
        text = ", ".join(sorted(re.sub(r"\d{13}-\d+", "<entry>", str(part)) for part in parts))
        if name != bench.keys.batch("w1"):
            text = text.replace(bench.keys.namespace, "")
            found[name.removeprefix(bench.keys.namespace)] = f"{text} expires: {bool(expires)}"
    return found


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("begun", [False, True], ids=["at once", "begun"])
def test_a_batch_comes_to_what_its_outcomes_come_to_one_by_one(bench: Bench, begun: bool) -> None:
    kinds = [*[nothing] * 4, *KINDS]
    fresh = benches(bench)
    alone, together = next(fresh), next(fresh)
    expected = "".join(alone.settle(case.outcome) for case in cases(alone, *kinds, begun=begun))
    assert set(expected) == set("cflue")
    assert together.settle(*(case.outcome for case in cases(together, *kinds, begun=begun))) == expected
    assert shown(together) == shown(alone)


@pytest.mark.parametrize("claimed", [False, True], ids=["record", "record and claim"])
def test_each_of_a_batch_takes_few_calls(bench: Bench, claimed: bool) -> None:
    fresh, found = benches(bench), []
    for many in (10, 30):
        one = next(fresh)
        outcomes = [Case(one, f"m{number}", claimed=claimed).outcome for number in range(many)]
        counter = f"calls of {one.keys.namespace}"
        text = COUNTS.format(counter=counter) + scripts.source("settle")
        one.storage._scripts["settle"] = one.client.register_script(text)
        assert one.settle(*outcomes) == "c" * many
        found.append(int(one.client.get(counter)))
    # The record and its TTL, and the acknowledgement; the claim is looked at, and written with its TTL.
    assert found[1] - found[0] == 20 * (6 if claimed else 3)


@pytest.mark.deep
@on_the_server_first
@pytest.mark.brokers("server")
def test_whichever_call_fails_once_all_of_a_batch_are_committed(bench: Bench) -> None:
    fresh, kinds, failed = benches(bench), [nothing, reported, nothing, nothing], list[str]()
    one = next(fresh)
    assert one.settle(*(case.outcome for case in cases(one, *kinds, begun=True))) == "cccc"
    whole = shown(one)
    for nth in range(4, 1_000):
        one = next(fresh)
        outcomes = [case.outcome for case in cases(one, *kinds, begun=True)]
        injected = Injected(one.storage, "settle", nth=nth)
        try:
            verdicts = one.settle(*outcomes)
        except ServerUnavailable:
            break  # the note of the batch: nothing comes after it
        failed.append(injected.failed())
        assert verdicts == "cccc", failed[-1]
        assert one.holding() == []
        left = {"pcall XDEL": one.stream, "pcall HDEL": one.keys.started("w1")}.get(failed[-1], "")
        left = left.removeprefix(one.keys.namespace)
        after = shown(one)
        assert {**after, left: ""} == {**whole, left: ""}, failed[-1]
    assert {"pcall EXISTS", "call HGETALL", "call HSET", "call PEXPIRE", "call XACK", "pcall XDEL"} <= set(failed)


@pytest.mark.parametrize(
    ("command", "which"), [("HGETALL", "record"), ("HSET", "claim"), ("PEXPIRE", "claim"), ("XACK", "entry")]
)
def test_what_fails_again_and_again_leaves_one_as_it_was_and_its_neighbours_are_committed(
    bench: Bench, command: str, which: str
) -> None:
    kinds = [nothing, reported, reported, reported, nothing]
    found = cases(bench, *kinds)
    key = {"record": found[2].record, "claim": found[2].claim, "entry": found[2].hold.entry}[which]
    before = shown(bench)
    text = FAILS.format(command=command, key=key) + scripts.source("settle")
    bench.storage._scripts["settle"] = bench.client.register_script(text)
    assert bench.settle(*(case.outcome for case in found)) == "ccecc"
    assert bench.holding() == [found[2].hold.entry]
    after = shown(bench)
    for name in (found[2].record, found[2].claim):
        name = name.removeprefix(bench.keys.namespace)
        assert after[name] == before[name]
    for case in (found[0], found[1], found[3], found[4]):
        assert bench.hash(case.record)[b"state"] == b"SUCCESS"
        assert bench.hash(case.claim)[b"status"] == b"done"


@pytest.mark.parametrize("pattern", [False, True])
def test_of_a_batch_those_are_told_who_listen(bench: Bench, pattern: bool) -> None:
    found = cases(bench, *[nothing] * 6)
    channels = [bench.keys.channel(case.name) for case in found]
    pubsub = bench.client.pubsub(ignore_subscribe_messages=True)
    if pattern:
        pubsub.psubscribe(f"{bench.keys.namespace}:told:*")
    else:
        pubsub.subscribe(channels[1], channels[4])
    pubsub.get_message(timeout=1.0)
    assert bench.settle(*(case.outcome for case in found)) == "cccccc"
    told = [found["channel"].decode() for _ in range(20) if (found := pubsub.get_message(timeout=0.05))]
    pubsub.close()
    assert sorted(told) == (channels if pattern else [channels[1], channels[4]])


def test_two_of_one_message_in_a_batch_have_one_outcome(bench: Bench) -> None:
    found = cases(bench, *[nothing] * 4)
    twin = Case(bench, "m1", claimed=False)
    assert bench.settle(*(case.outcome for case in [*found, twin])) == "ccccf"
    assert bench.settle(found[0].outcome, found[1].outcome, found[2].outcome, twin.outcome) == "llll"
