"""Any order of arrivals, returns, deaths and pauses against what limits promise: never more than they say, the first in
line first, and nothing left behind. Every call is made twice."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import freezegun
import hypothesis.strategies as st
import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.understudy.storage.bench import Bench
from understudy import clock
from understudy.brokers.operations import Operations
from understudy.brokers.settlement import SettlingBroker
from understudy.holds import GROUP, Hold
from understudy.keyed import ConcurrencyLimit, RateLimit
from understudy.revocations import Revocations
from understudy.states import State
from understudy.storage.client import Storage
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.stage import Kind, stage
from understudy.turns import IN_LINE, Limit, Turn, Turns, member

#: Milliseconds after which one that should have come is not waited for (``_turns.lua``).
LATE, CATCH_UP, WOKEN = 1_000, 1_000, 2_000
RATES = st.sampled_from(
    [
        RateLimit(1, per=0.5),
        RateLimit(5, per=1),
        RateLimit(3, per=1, burst=2),
        RateLimit(1, per=1, kind="window"),
        RateLimit(4, per=1, kind="window"),
    ]
)


class TwiceStorage(Storage):
    """Makes every call of a script twice; the second reply is that of the first."""

    def __init__(self, storage: Storage) -> None:
        self.__dict__.update(storage.__dict__)

    def run(self, name: str, keys: Any, args: Any = (), *, called: str | None = None) -> Any:
        args = list(args)
        reply = super().run(name, keys, args)
        assert super().run(name, keys, args) == reply, f"{name} is not safe to resend"
        return reply


class Asking(Bench):
    """A bench on which deliveries ask for their turn."""

    def ask(self, *turns: Turn) -> list[str]:
        Turns(TwiceStorage(self.storage)).ask(turns, self.lines)
        return [str(turn.word) for turn in turns]

    @property
    def lines(self) -> dict[str, tuple[str, ...]]:
        return {self.queue.queue: (*self.queue.streams, self.queue.delayed, self.queue.ids)}

    def turn(self, hold: Hold, message: str, order: float, *limits: Limit) -> Turn:
        return Turn(hold.token, member(self.queue.queue, message), order, limits)

    def take_message(self, message: str, order: float, *limits: Limit) -> tuple[Hold, Turn]:
        hold = self.take()
        return hold, self.turn(hold, message, order, *limits)

    def left(self, limit: Limit) -> list[Any]:
        """Who stands in line, and who is expected."""
        _, _, line, due = self.keys.limit(limit.name)
        return [self.client.zrange(name, 0, -1) for name in (line, due)]

    def leave(self, turn: Turn) -> Any:
        assert turn.places is not None
        return lambda operations: operations.turn(self.keys, turn, turn.places, self.lines, action="leave")

    def join(self, turn: Turn) -> Any:
        return lambda operations: operations.turn(self.keys, turn, turn.places, self.lines, action="join")


@pytest.fixture
def asking(broker: SettlingBroker, freezer: FrozenDateTimeFactory) -> Asking:
    return Asking(broker.storage)


def milliseconds() -> int:
    return round(clock.now() * 1_000)


# -- a rate ----------------------------------------------------------------------------------------------------


@dataclass
class Waiting:
    """A message that was told when to come."""

    name: str
    order: float
    due: float


class OnStage(RuleBasedStateMachine):
    """A bench in frozen time."""

    def __init__(self, kind: Kind, url: str | None) -> None:
        super().__init__()
        self.frozen = freezegun.freeze_time("2026-03-01T12:00:00+00:00")
        self.clock: Any = self.frozen.start()
        self.staged = stage(kind, server_url=url, faults=Faults(), enqueued=Enqueued())
        self.bench = Asking(self.staged.__enter__().storage)

    def teardown(self) -> None:
        try:
            self.everybody_has_a_turn_and_nothing_is_left()
        finally:
            self.staged.__exit__(None, None, None)
            self.frozen.stop()

    @abstractmethod
    def everybody_has_a_turn_and_nothing_is_left(self) -> None:
        """Whoever waits comes, and the server has forgotten all of them."""


class RateMachine(OnStage):
    """Messages under one rate. What is late is late by as much as the rule says; the model only counts."""

    def __init__(self, kind: Kind, url: str | None) -> None:
        super().__init__(kind, url)
        self.numbers = itertools.count()
        self.waiting: list[Waiting] = []
        self.given: list[float] = []
        #: Until when those who were revoked are waited for, at the most.
        self.expected = 0.0
        #: The times told to those who were revoked behind the server's back: it keeps these turns for them.
        self.gone: list[float] = []
        self.asked: Counter[str] = Counter()
        self.disturbed = False
        self.names: list[tuple[int, float]] = []

    @initialize(policy=RATES)
    def declare(self, policy: RateLimit) -> None:
        self.policy = policy
        self.limit = Limit.of_rate(policy, "key:k")

    def asks(self, name: str, order: float) -> None:
        self.asked[name] += 1
        hold, turn = self.bench.take_message(name, order, self.limit)
        (word,) = self.bench.ask(turn)
        if word == "run":
            self.given.append(milliseconds())
            self.names.append((milliseconds(), order))
            self.check_the_limit()
        else:
            assert word == "rate"
            assert turn.due is not None
            assert turn.due > milliseconds() - 1
            self.waiting.append(Waiting(name, order, turn.due))
        self.bench.client.xack(hold.stream, "workers", hold.entry)

    def check_the_limit(self) -> None:
        within = self.policy.limit + self.policy.burst - 1
        if len(self.given) > within:
            span = self.given[-1] - self.given[-1 - within]
            assert span >= self.limit.per - self.limit.slack - 1, "one more than the limit in a window"
        gap = self.limit.per / self.policy.limit
        most = self.policy.burst + (self.given[-1] - self.given[0] + CATCH_UP) / gap + 1
        if self.policy.kind == "bucket":
            assert len(self.given) <= most, "the average is kept too"

    @rule(count=st.integers(1, 3))
    def arrive(self, count: int) -> None:
        for _ in range(count):
            number = next(self.numbers)
            self.asks(f"m{number}", milliseconds() + number / 4_096)

    @rule(ms=st.integers(1, 700))
    def time_passes(self, ms: int) -> None:
        self.clock.move_to(clock.utc((milliseconds() + ms) / 1_000))
        if any(one.due < milliseconds() - 1 for one in self.waiting):
            self.disturbed = True

    @precondition(lambda self: self.waiting)
    @rule()
    def the_next_comes_in_time(self) -> None:
        one = min(self.waiting, key=lambda one: (one.due, one.order))
        self.waiting.remove(one)
        self.clock.move_to(clock.utc(max(-(-one.due // 1), milliseconds()) / 1_000))
        self.asks(one.name, one.order)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_comes_too_early(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(one)
        self.disturbed = True
        self.asks(one.name, one.order)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_is_revoked(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(one)
        self.expected = max(self.expected, one.due)
        self.gone.append(one.due)
        self.disturbed = True

    @rule()
    def a_turn_is_taken_and_its_worker_dies(self) -> None:
        number = next(self.numbers)
        self.asks(f"dead{number}", milliseconds() + number / 4_096)

    def everybody_has_a_turn_and_nothing_is_left(self) -> None:
        start, before = milliseconds(), len(self.waiting)
        while self.waiting:
            self.the_next_comes_in_time()
        gap = self.limit.per / self.policy.limit
        # Those behind were told their times with the turns in between that are kept for the gone ones. A turn that was
        # over by then counts for nobody.
        turns = before + sum(due > start for due in self.gone) + 2
        assert milliseconds() - start <= turns * gap + 2 * self.limit.per + 3 * LATE, "no time is lost"
        if not self.disturbed:
            # Of two that begin in the same moment either may come first.
            in_time = [order for _, order in sorted(self.names)]
            assert in_time == sorted(in_time), "the first in line was first"
            assert max(self.asked.values(), default=0) <= 2, "who was told when to come was let in"
        over = max(milliseconds(), self.expected) + LATE + self.limit.per + 1
        self.clock.move_to(clock.utc(over / 1_000))
        _, turn = self.bench.take_message("last", milliseconds(), self.limit)
        assert self.bench.ask(turn) == ["run"]
        assert self.bench.left(self.limit) == [[], []]


def machine(kind: Kind, url: str | None, of: Callable[..., RuleBasedStateMachine], examples: int) -> None:
    run_state_machine_as_test(
        lambda: of(kind, url),  # type: ignore[arg-type]  # whatever makes one
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        ),
    )


@pytest.fixture
def kind_and_url(broker_kind: Kind, request: pytest.FixtureRequest) -> tuple[Kind, str | None]:
    return broker_kind, request.getfixturevalue("server_url") if broker_kind == "server" else None


def test_no_order_of_events_lets_more_begin_than_a_rate_says(kind_and_url: tuple[Kind, str | None]) -> None:
    machine(*kind_and_url, RateMachine, 20 if kind_and_url[0] == "server" else 3)


# -- places ----------------------------------------------------------------------------------------------------


@dataclass
class Placed:
    """A message under a limit of places.

    Attributes:
      hold: the delivery, while somebody has it.
      turn: what that asked; it has a place if the word is "run".
    """

    name: str
    order: float
    hold: Hold | None = None
    turn: Turn | None = None

    @property
    def runs(self) -> bool:
        return self.turn is not None and self.turn.word == "run"


class PlacesMachine(OnStage):
    """Messages under one limit of places. Each is in one state: it runs, it was refused and is on its way back, it lies
    among the delayed ones, or in the stream."""

    def __init__(self, kind: Kind, url: str | None) -> None:
        super().__init__(kind, url)
        self.bench.client.sadd(self.bench.keys.queues, self.bench.queue.queue)
        self.numbers = itertools.count()
        self.held: list[Placed] = []
        self.known: dict[str, Placed] = {}
        self.began: list[str] = []
        self.disturbed = False

    @initialize(most=st.sampled_from([1, 2, 5]))
    def declare(self, most: int) -> None:
        self.limit = Limit.of_places(ConcurrencyLimit(most), "key:k")

    def takes(self, hold: Hold, name: str) -> None:
        one = self.known.setdefault(name, Placed(name, milliseconds() + next(self.numbers) / 4_096))
        one.hold, one.turn = hold, self.bench.turn(hold, name, one.order, self.limit)
        (word,) = self.bench.ask(one.turn)
        assert word in ("run", "places")
        self.held.append(one)
        if one.runs:
            self.began.append(name)
            assert sum(other.runs for other in self.held) <= self.limit.most, "more than there are places"

    def settle(self, *outcomes: tuple[Placed, tuple[Any, ...]]) -> None:
        operations = Operations(self.bench.keys.clock, self.bench.keys.batch("w"))
        for one, write in outcomes:
            self.held.remove(one)
            assert one.hold is not None
            operations.args += (operations.number(one.hold.stream), one.hold.entry, len(write))
            for part in write:
                part(operations)
            one.hold = one.turn = None
        head: list[Any] = [next(self.numbers), GROUP, len(outcomes)]
        reply = self.bench.storage.run("settle", operations.keys, [*head, *operations.args])
        assert reply == b"c" * len(outcomes)

    def end(self, *ending: Placed) -> None:
        """They succeed, and are settled in one batch."""
        outcomes = []
        for one in ending:
            del self.known[one.name]
            assert one.turn is not None
            outcomes.append((one, (self.bench.state(State.SUCCESS, one.name), self.bench.leave(one.turn))))
        self.settle(*outcomes)

    @invariant()
    def nobody_sleeps_beside_a_free_place(self) -> None:
        """Whoever comes on its own (it was woken, waits in the stream, or is on its way back) may have it."""
        delayed = self.bench.client.zrange(self.bench.queue.delayed, 0, -1, withscores=True)
        asleep = sum(due > milliseconds() for _, due in delayed)
        runs = sum(one.runs for one in self.held)
        coming = len(self.held) - runs + len(delayed) - asleep + len(self.bench.waiting())
        assert not asleep or coming >= self.limit.most - runs, "a place is free, somebody waits, and nobody was woken"

    @rule(count=st.integers(1, 6))
    def arrive(self, count: int) -> None:
        for _ in range(count):
            self.bench.put(f"m{next(self.numbers)}")
        self.take_what_waits()

    @precondition(lambda self: any(one.runs for one in self.held))
    @rule(data=st.data())
    def one_ends(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from([one for one in self.held if one.runs])))

    @precondition(lambda self: any(one.runs for one in self.held))
    @rule()
    def all_end(self) -> None:
        self.end(*[one for one in self.held if one.runs])

    @precondition(lambda self: any(not one.runs for one in self.held))
    @rule()
    def the_refused_go_back(self) -> None:
        for one in [one for one in self.held if not one.runs]:
            assert one.turn is not None
            options = {IN_LINE: self.limit.name}
            payload = Message(self.bench.queue.queue, "a", (), {}, options, message_id=one.name).encode()
            later = self.bench.later(payload, delay=one.turn.wait, message=one.name)
            self.settle((one, (self.bench.join(one.turn), later)))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def a_holder_dies_and_is_reaped(self, data: st.DataObject) -> None:
        self.disturbed = True
        one = data.draw(st.sampled_from(self.held))
        self.held.remove(one)
        assert one.hold is not None
        self.bench.client.xadd(self.bench.stream, {"m": one.name})
        self.bench.client.xack(one.hold.stream, GROUP, one.hold.entry)
        self.bench.client.xdel(one.hold.stream, one.hold.entry)
        Turns(TwiceStorage(self.bench.storage)).wake(self.limit.name, self.bench.lines)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def one_that_waits_is_revoked(self, data: st.DataObject) -> None:
        waiting = self.bench.client.zrange(self.bench.queue.delayed, 0, -1)
        if not waiting:
            return
        # By name: a copy's own differs from run to run.
        name = data.draw(st.sampled_from(sorted({copy.decode().partition("|")[0] for copy in waiting})))
        found = Revocations(self.bench.storage).revoke(name, terminate=False, result_ttl=60)
        assert found is State.REVOKED
        del self.known[name]

    @rule(seconds=st.sampled_from([0.001, 1.0, 2.5, 6.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule()
    def those_who_are_due_come(self) -> None:
        self.bench.storage.run("promote", [self.bench.keys.clock, *self.bench.queue.promoted], [100])
        self.take_what_waits()

    def take_what_waits(self) -> None:
        for payload in self.bench.waiting():
            delayed = payload.startswith(b"{")
            self.takes(self.bench.taken(), Message.decode(payload).message_id if delayed else payload.decode())

    def everybody_has_a_turn_and_nothing_is_left(self) -> None:
        for _ in range(10 * (len(self.known) + 1)):
            if not self.known:
                break
            self.the_refused_go_back()
            self.end(*[one for one in self.held if one.runs])
            before = len(self.began)
            self.those_who_are_due_come()
            if not self.disturbed and self.known and len(self.began) == before:
                raise AssertionError("a place is free, somebody waits, and nobody was woken")
            self.clock.tick(2.5 if self.disturbed else 0.001)
        if self.disturbed:
            self.clock.tick(301)
        assert not self.known, "somebody waits for ever"
        assert self.bench.left(self.limit) == [[], []]


def test_no_order_of_events_lets_more_run_than_there_are_places_or_forgets_one(
    kind_and_url: tuple[Kind, str | None],
) -> None:
    machine(*kind_and_url, PlacesMachine, 50 if kind_and_url[0] == "server" else 10)
