"""Any order of the broker's operations against a model: nothing is lost, nothing is settled twice."""

from __future__ import annotations

import itertools
from typing import Any

import freezegun
import hypothesis.strategies as st
from dramatiq import Message
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.understudy.brokers.helpers import dead_letters, take_away
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.outcome import Disposition
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.stage import stage

QUEUE = "machine"
LEASE = 5


class BrokerMachine(RuleBasedStateMachine):
    """The model counts what was accepted, what has ended, and how much of that failed; it knows the zombies."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = freezegun.freeze_time("2026-03-01T12:00:00+00:00")
        self.clock: Any = self.frozen.start()
        self.faults = Faults()
        self.staged = stage("stub", server_url=None, faults=self.faults, enqueued=Enqueued())
        self.broker: RedisBroker = self.staged.__enter__()
        self.broker.declare_queue(QUEUE)
        self.broker.upkeep.reaper.longest_gap = float("inf")
        self.source = self.broker.consume(QUEUE, prefetch=1_000, timeout=1)
        self.numbers = itertools.count()
        self.accepted = 0
        self.ended = 0
        self.dead = 0
        self.zombies: set[str] = set()
        #: Deliveries that somebody works on and has not settled; those of a zombie among them.
        self.live: list[HeldMessage] = []

    def teardown(self) -> None:
        try:
            self.everything_accepted_can_be_brought_to_its_end()
        finally:
            self.staged.__exit__(None, None, None)
            self.frozen.stop()

    def message(self, priority: int) -> Message[Any]:
        self.accepted += 1
        options = {"priority": priority} if priority else {}
        return Message(queue_name=QUEUE, actor_name="a", args=(next(self.numbers),), kwargs={}, options=options)

    @initialize(count=st.integers(0, 5))
    def some_are_being_worked_on(self, count: int) -> None:
        for _ in range(count):
            self.broker.enqueue(self.message(0))
        self.fetch()

    @rule(priority=st.sampled_from([-1, 0, 1]))
    def enqueue(self, priority: int) -> None:
        self.broker.enqueue(self.message(priority))

    @rule(delay=st.integers(0, 20_000))
    def delay(self, delay: int) -> None:
        self.broker.enqueue(self.message(0), delay=delay)

    @rule()
    def fetch(self) -> None:
        while (found := next(self.source)) is not None:
            assert isinstance(found, HeldMessage)
            self.live.append(found)

    @rule(cut=st.sampled_from(["before", "after"]))
    def a_reply_is_cut(self, cut: Any) -> None:
        self.faults.fail("fetch", when=cut)
        found = next(self.source)
        if found is not None:  # it was in the buffer
            assert isinstance(found, HeldMessage)
            self.live.append(found)
        self.faults.clear()

    @precondition(lambda self: self.live)
    @rule(
        which=st.integers(0, 5),
        how=st.sampled_from([Disposition.DONE, Disposition.RETRY, Disposition.FAILED, Disposition.HAND_BACK]),
        delay=st.sampled_from([0.0, 3.0]),
        cut=st.sampled_from([None, "before", "after"]),
    )
    def settle(self, which: int, how: Disposition, delay: float, cut: Any) -> None:
        held = self.live.pop(which % len(self.live))
        token = held.hold.token
        refused = self.broker.refused
        held.outcome.decide(how, delay=delay)
        if cut is not None:
            self.faults.fail("settle", when=cut)
        self.source.ack(held)
        self.faults.clear()
        zombie = token in self.zombies
        assert self.broker.refused - refused == (1 if zombie else 0)
        if not zombie and how in (Disposition.DONE, Disposition.FAILED):
            self.ended += 1
            self.dead += how is Disposition.FAILED

    @rule()
    def crash(self) -> None:
        """kill -9: whoever ran it knows nothing any more, and so settles nothing."""
        self.live.clear()
        self.broker.abandon()
        self.source = self.broker.consume(QUEUE, prefetch=1_000, timeout=1)

    @precondition(lambda self: self.live)
    @rule()
    def another_takes_this_worker_for_dead(self) -> None:
        """SIGSTOP past the lease: it goes on as a zombie."""
        self.zombies.update(held.hold.token for held in self.broker.holds.values())
        take_away(self.broker)

    @precondition(lambda self: self.live)
    @rule(how=st.sampled_from([Disposition.DONE, Disposition.RETRY]), cut=st.sampled_from([None, "after"]))
    def a_zombie_settles(self, how: Disposition, cut: Any) -> None:
        self.another_takes_this_worker_for_dead()
        self.settle(0, how, 0.0, cut)

    @rule()
    def reap(self) -> None:
        self.broker.upkeep.run_once()

    @rule()
    def promote(self) -> None:
        self.broker.upkeep.promote_once()

    @rule(seconds=st.sampled_from([0.5, 3.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule()
    def an_outage_at_a_look(self) -> None:
        with self.faults.outage():
            try:
                self.broker.upkeep.run_once()
            except ServerUnavailable:
                return

    @invariant()
    def nothing_is_lost_and_nothing_is_twice(self) -> None:
        assert self.broker.size(QUEUE) == self.accepted - self.ended

    @invariant()
    def dead_letters_are_those_that_failed(self) -> None:
        assert len(dead_letters(self.broker, QUEUE)) == self.dead

    def everything_accepted_can_be_brought_to_its_end(self) -> None:
        self.crash()
        found: set[int] = set()
        for _ in range(6):
            self.broker.upkeep.run_once()
            self.broker.upkeep.promote_once()
            while (held := next(self.source)) is not None:
                found.add(held.args[0])
                self.source.ack(held)
                self.ended += 1
            self.clock.tick(LEASE + 20)
        assert self.broker.size(QUEUE) == 0
        assert self.ended == self.accepted


BrokerMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


TestBrokerMachine = BrokerMachine.TestCase
