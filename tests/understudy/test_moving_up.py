"""Any order of arrivals, leavings and deaths under a rate: as many begin as it allows, none before its turn, the first
in line first. Workers are as quick as can be here, so that no time is lost but by the line itself."""

from __future__ import annotations

import itertools
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from dramatiq import Message
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.understudy.test_turns import OnStage, TwiceStorage, machine, milliseconds
from understudy import clock
from understudy.brokers.operations import Operations
from understudy.holds import GROUP, Hold
from understudy.keyed import RateLimit
from understudy.revocations import Revocations
from understudy.states import State
from understudy.testing.stage import Kind
from understudy.turns import IN_LINE, Limit, Turn, Turns

RATES = st.sampled_from(
    [
        RateLimit(1, per=0.5),
        RateLimit(5, per=1),
        RateLimit(1, per=10),
        RateLimit(1, per=1, kind="window"),
        RateLimit(4, per=2, kind="window"),
    ]
)


class LineMachine(OnStage):
    """Messages under one rate: in line among the delayed ones, or on their way there."""

    def __init__(self, kind: Kind, url: str | None) -> None:
        super().__init__(kind, url)
        self.bench.client.sadd(self.bench.keys.queues, self.bench.queue.queue)
        self.numbers = itertools.count(1)
        self.orders: dict[str, float] = {}
        #: Those who were told when to come, and did not go back to their queue yet.
        self.slow: list[tuple[str, Hold, Turn]] = []
        self.given: list[float] = []
        self.began: list[tuple[float, float]] = []
        #: Who was held up, or runs for the second time, may be out of order.
        self.held_up: set[str] = set()

    @initialize(policy=RATES)
    def declare(self, policy: RateLimit) -> None:
        self.policy = policy
        self.limit = Limit.of_rate(policy, "key:k")

    # -- what workers do -----------------------------------------------------------------------------------

    def settle(self, hold: Hold, *write: Any) -> None:
        operations = Operations(self.bench.keys.clock, self.bench.keys.batch("w"))
        operations.args += (operations.number(hold.stream), hold.entry, len(write))
        for part in write:
            part(operations)
        head: list[Any] = [next(self.numbers), GROUP, 1]
        assert TwiceStorage(self.bench.storage).run("settle", operations.keys, [*head, *operations.args]) == b"c"

    def act(self, turn: Turn, action: Any) -> Any:
        return lambda operations: operations.turn(self.bench.keys, turn, self.limit, self.bench.lines, action=action)

    def asks(self, hold: Hold, name: str) -> Turn:
        order = self.orders.setdefault(name, milliseconds() + next(self.numbers) / 4_096)
        turn = self.bench.turn(hold, name, order, self.limit)
        self.bench.ask(turn)
        assert turn.word in ("run", "rate")
        return turn

    def takes(self, hold: Hold, name: str) -> None:
        """One is fetched, and runs or goes back."""
        turn = self.asks(hold, name)
        if turn.word == "rate":
            self.goes_back(name, hold, turn)
            return
        self.has_its_turn(turn)
        if name not in self.held_up:
            self.began.append((milliseconds(), turn.order))
        del self.orders[name]
        self.settle(hold, self.bench.state(State.SUCCESS, name))

    def goes_back(self, name: str, hold: Hold, turn: Turn) -> None:
        options = {IN_LINE: self.limit.name}
        message: Message[Any] = Message(self.bench.queue.queue, "a", (), {}, options, message_id=name)
        payload = message.encode()

        def later(operations: Operations) -> None:
            queue, wake = self.bench.queue, self.bench.keys.wake
            operations.later(queue, wake, name, payload, delay=turn.wait, level=2, due=turn.due)

        self.settle(hold, self.act(turn, "wait"), later)

    def has_its_turn(self, turn: Turn) -> None:
        self.given.append(milliseconds())
        most = self.policy.limit
        if len(self.given) > most:
            span = self.given[-1] - self.given[-1 - most]
            assert span >= self.limit.per - self.limit.slack - 1, "one more than the limit in a window"

    def until(self, ms: float) -> None:
        """Time passes; whoever is due comes."""
        names = [self.bench.keys.clock, *self.bench.queue.promoted]
        while (first := self.first_due()) is not None and first <= ms:
            self.clock.move_to(clock.utc(max(first, milliseconds()) / 1_000))
            self.bench.storage.run("promote", names, [100])
            for payload in self.bench.waiting():
                self.takes(self.bench.taken(), Message.decode(payload).message_id)
        self.clock.move_to(clock.utc(max(ms, milliseconds()) / 1_000))

    def first_due(self) -> int | None:
        found = self.bench.client.zrange(self.bench.queue.delayed, 0, 0, withscores=True)
        return math.ceil(found[0][1]) if found else None

    # -- what happens --------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4))
    def some_arrive(self, count: int) -> None:
        for _ in range(count):
            self.takes(self.bench.take(), f"m{next(self.numbers)}")

    @rule(count=st.integers(1, 4))
    def some_ask_and_turn_out_not_to_run(self, count: int) -> None:
        for _ in range(count):
            name, hold = f"d{next(self.numbers)}", self.bench.take()
            turn = self.asks(hold, name)
            self.settle(hold, self.bench.state(State.SUCCESS, name), self.act(turn, "quit"))
            del self.orders[name]

    @precondition(lambda self: set(self.orders) - self.held_up)
    @rule(data=st.data())
    def one_in_line_is_revoked(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(set(self.orders) - self.held_up)))
        found = Revocations(self.bench.storage).revoke(name, terminate=False, result_ttl=60)
        assert found is State.REVOKED
        del self.orders[name]

    @rule()
    def one_asks_and_is_held_up(self) -> None:
        name, hold = f"s{next(self.numbers)}", self.bench.take()
        turn = self.asks(hold, name)
        if turn.word == "rate":
            self.held_up.add(name)
            self.slow.append((name, hold, turn))
        else:
            self.has_its_turn(turn)
            self.began.append((milliseconds(), turn.order))
            del self.orders[name]

    @precondition(lambda self: self.slow)
    @rule(runs=st.booleans())
    def one_that_was_held_up_goes_back_or_does_not_run(self, runs: bool) -> None:
        name, hold, turn = self.slow.pop(0)
        if runs:
            self.goes_back(name, hold, turn)
        else:
            self.settle(hold, self.bench.state(State.SUCCESS, name), self.act(turn, "quit"))
            del self.orders[name]

    @rule()
    def one_has_its_turn_and_its_worker_dies(self) -> None:
        name, hold = f"k{next(self.numbers)}", self.bench.take()
        turn = self.asks(hold, name)
        self.held_up.add(name)
        if turn.word == "run":
            self.has_its_turn(turn)
        self.bench.client.xack(hold.stream, GROUP, hold.entry)
        self.bench.client.xdel(hold.stream, hold.entry)
        Turns(TwiceStorage(self.bench.storage)).wake(self.limit.name, self.bench.lines)
        self.takes(self.bench.take(), name)

    @rule(ms=st.sampled_from([1, 100, 300, 499, 700, 2_500]))
    def time_passes(self, ms: int) -> None:
        self.until(milliseconds() + ms)

    @invariant()
    def nobody_waits_longer_than_the_rate_says(self) -> None:
        if not self.orders or self.slow:
            return
        assert len(self.given) >= 1
        most, turn = self.policy.limit, 0.0
        if len(self.given) >= most:
            turn = self.given[-most] + self.limit.per
        if self.policy.kind == "bucket":
            turn = max(turn, self.given[-1] + self.limit.per / most)
        first = self.first_due()
        assert first is not None, "somebody waits and nobody is expected"
        assert first <= max(turn, milliseconds()) + 2, "a turn that nobody takes"

    def everybody_has_a_turn_and_nothing_is_left(self) -> None:
        while self.slow:
            self.one_that_was_held_up_goes_back_or_does_not_run(runs=True)
        gap, before = self.limit.per / self.policy.limit, len(self.orders)
        end = milliseconds() + (before + 1) * gap + self.limit.per + 10
        while self.orders and (first := self.first_due()) is not None:
            self.until(first)
            self.nobody_waits_longer_than_the_rate_says()
        assert not self.orders, "somebody waits for ever"
        assert milliseconds() <= end, "a turn was lost"
        in_time = [order for _, order in sorted(self.began)]
        assert in_time == sorted(in_time), "the first in line was first"
        self.until(milliseconds() + self.limit.per + 2_000)
        turn = self.bench.turn(self.bench.take(), "last", milliseconds(), self.limit)
        assert self.bench.ask(turn) == ["run"]
        assert self.bench.left(self.limit) == [[], []]


@pytest.fixture
def kind_and_url(broker_kind: Kind, request: pytest.FixtureRequest) -> tuple[Kind, str | None]:
    return broker_kind, request.getfixturevalue("server_url") if broker_kind == "server" else None


def test_in_any_order_of_events_as_many_begin_as_a_rate_allows_in_the_order_of_arrival(
    kind_and_url: tuple[Kind, str | None],
) -> None:
    machine(*kind_and_url, LineMachine, 15 if kind_and_url[0] == "server" else 2)
