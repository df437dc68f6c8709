"""Any order of the broker's operations against a model: nothing is lost, nothing is settled twice, what was cancelled
does not run, what is urgent comes first, and no death is blamed on what had not begun."""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import freezegun
import hypothesis.strategies as st
import pytest
import redis
from dramatiq import Message
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.understudy.brokers.helpers import dead_letters, take_away
from tests.understudy.storage.dumps import pending
from understudy import clock
from understudy.actors import named
from understudy.brokers import delays
from understudy.brokers.held import HeldMessage
from understudy.brokers.names import level_of
from understudy.brokers.redis import RedisBroker
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.holds import MAX_DEATHS, SUSPECT_AFTER
from understudy.outcome import Disposition
from understudy.states import State
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.stage import Kind, stage

QUEUE = "machine"
LEASE = 5
#: A connection that is cut before or after the exchange took effect, and an answer that is an error.
CUTS = st.sampled_from([None, "before", "after", "error"])
HOW = st.sampled_from([Disposition.DONE, Disposition.RETRY, Disposition.FAILED, Disposition.HAND_BACK])


@dataclass
class Copy:
    """One message that was accepted, as the model knows it; two of them may have the same id.

    Attributes:
      due: when it may run, if it waits for that.
      over: "done", "dead" or "cancelled".
      deaths: at how many deaths its body was running.
      begun: the body runs, in a process that is its own alone if it is a suspect.
      died: its process has died or was taken for dead since, and no reaper was seen to have noticed.
    """

    id: str
    level: int
    due: float | None = None
    over: str = ""
    deaths: int = 0
    begun: bool = False
    died: bool = False

    @property
    def may_be_dead(self) -> bool:
        """A reaper makes a dead letter of it: it has run at too many deaths, at the last one alone."""
        return self.begun and self.died and self.deaths >= SUSPECT_AFTER and self.deaths + 1 >= MAX_DEATHS


class BrokerMachine(RuleBasedStateMachine):
    """One worker process at a time, that may die, or go on as a zombie without knowing it."""

    def __init__(self, kind: Kind, url: str | None) -> None:
        super().__init__()
        self.frozen = freezegun.freeze_time("2026-03-01T12:00:00+00:00")
        self.clock: Any = self.frozen.start()
        self.faults = Faults()
        self.staged = stage(kind, server_url=url, faults=self.faults, enqueued=Enqueued())
        self.broker: RedisBroker = self.staged.__enter__()
        self.broker.queues = {QUEUE}  # a fault shall hit this one
        self.broker.upkeep.reaper.longest_gap = float("inf")
        self.source = self.broker.consume(QUEUE, prefetch=1_000, timeout=1)
        self.numbers = itertools.count()
        self.copies: dict[int, Copy] = {}
        self.revoked: set[str] = set()
        self.delivered: set[str] = set()
        self.zombies: set[str] = set()
        #: Deliveries that somebody works on and has not settled; those of a zombie among them.
        self.live: list[HeldMessage] = []
        #: A reply was lost since all was fetched: what was in it is taken up first.
        self.cut = False

    def teardown(self) -> None:
        try:
            self.everything_accepted_can_be_brought_to_its_end()
        finally:
            self.staged.__exit__(None, None, None)
            self.frozen.stop()

    # -- sending -----------------------------------------------------------------------------------------

    def send(self, priority: int, delay: int | None, cut: Any, message_id: str | None = None) -> None:
        number = next(self.numbers)
        options = {"priority": priority} if priority else {}
        message: Message[Any] = Message(QUEUE, "a", args=(number,), kwargs={}, options=options)
        if message_id is not None:
            message = named(message, message_id)
        self.fault(("enqueue", "send"), cut)
        try:
            self.broker.enqueue(message, delay=delay)
        except ServerUnavailable:
            assert cut is not None
        self.faults.clear()
        if cut in (None, "after"):
            due = clock.now() + delay / 1000 if delay else None
            self.copies[number] = Copy(message.message_id, level_of(priority), due)

    def fault(self, names: tuple[str, ...], cut: str | None) -> None:
        for name in names if cut else ():
            if cut == "error":
                self.faults.fail(name, error=redis.ResponseError("LOADING the dataset in memory"))
            elif cut is not None:
                self.faults.fail(name, when="before" if cut == "before" else "after")

    @initialize(count=st.integers(0, 5))
    def some_are_being_worked_on(self, count: int) -> None:
        for _ in range(count):
            self.send(0, None, None)
        self.fetch()

    @rule(priority=st.sampled_from([-1, 0, 1]), cut=CUTS)
    def enqueue(self, priority: int, cut: Any) -> None:
        self.send(priority, None, cut)

    @rule(priority=st.sampled_from([-1, 0, 1]), delay=st.integers(0, 20_000), cut=CUTS)
    def delay(self, priority: int, delay: int, cut: Any) -> None:
        self.send(priority, delay, cut)

    @precondition(lambda self: self.delayed())
    @rule(which=st.integers(0, 9), delay=st.integers(1, 20_000))
    def delay_another_with_the_same_id(self, which: int, delay: int) -> None:
        waiting = self.delayed()
        self.send(0, delay, None, waiting[which % len(waiting)].id)

    # -- working -----------------------------------------------------------------------------------------

    def take(self) -> HeldMessage | None:
        """The next message of the consumer, if the model knows that it may come."""
        found = next(self.source)
        if found is None:
            return None
        assert isinstance(found, HeldMessage)
        copy = self.copies[found.args[0]]
        assert copy.due is None or copy.due <= clock.now(), "it waits for its time"
        assert not copy.over, f"it is {copy.over}"
        assert found.hold.token not in self.delivered, "an entry is delivered once"
        self.delivered.add(found.hold.token)
        if copy.died:  # a reaper has made a new entry of it
            copy.deaths += copy.begun
            copy.died = copy.begun = False
        copy.due = None
        assert found.hold.deaths == copy.deaths, "deaths are counted for bodies that were running, and for no others"
        self.live.append(found)
        return found

    @rule()
    def fetch(self) -> None:
        known, levels = len(self.broker.holds), []
        while (found := self.take()) is not None:
            levels.append(self.copies[found.args[0]].level)
        if not self.cut and len(self.broker.holds) - known == len(levels):
            assert levels == sorted(levels), "of what waits the urgent ones come first"
        self.cut = False

    @rule(cut=st.sampled_from(["before", "after", "error"]))
    def a_reply_is_cut(self, cut: Any) -> None:
        self.fault(("fetch",), cut)
        self.take()
        self.faults.clear()
        self.cut = True

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 5))
    def a_body_begins(self, which: int) -> None:
        held = self.live[which % len(self.live)]
        copy = self.copies[held.args[0]]
        if copy.id in self.revoked:
            return
        held.alone = held.hold.deaths >= SUSPECT_AFTER
        zombie = held.hold.token in self.zombies
        try:
            self.broker.upkeep.begins(held)
        except LeaseLost:
            assert zombie
            return
        assert not zombie
        copy.begun = True

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 5), how=HOW, delay=st.sampled_from([0.0, 3.0]), cut=CUTS)
    def settle(self, which: int, how: Disposition, delay: float, cut: Any) -> None:
        held = self.live.pop(which % len(self.live))
        refused = self.broker.refused
        held.outcome.decide(how, delay=delay)
        self.fault(("settle",), cut)
        self.source.ack(held)
        self.faults.clear()
        zombie = held.hold.token in self.zombies
        assert self.broker.refused - refused == (1 if zombie else 0)
        if not zombie:
            self.settled(self.copies[held.args[0]], how, delay)

    def settled(self, copy: Copy, how: Disposition, delay: float) -> None:
        copy.begun = False
        if how is Disposition.DONE:
            copy.over = "done"
        elif how is Disposition.FAILED:
            copy.over = "dead"
        else:
            copy.due = clock.now() + delay if delay else None
            if how is Disposition.RETRY:
                copy.deaths = 0

    # -- cancelling --------------------------------------------------------------------------------------

    def delayed(self, id: str | None = None) -> list[Copy]:
        """The copies that wait for their time, or would be promoted next."""
        waiting = (copy for copy in self.copies.values() if copy.due is not None and not copy.over)
        return [copy for copy in waiting if id in (None, copy.id)]

    @precondition(lambda self: self.copies)
    @rule(which=st.integers(0, 99), cut=CUTS)
    def cancel(self, which: int, cut: Any) -> None:
        waiting = self.delayed() or list(self.copies.values())
        id = waiting[which % len(waiting)].id
        if any(copy.id == id and copy.begun for copy in self.copies.values()):
            return  # which of its ends comes first is another question
        copies = self.delayed(id)
        assert [one.due.timestamp() for one in delays.find(self.broker, QUEUE, id)] == pytest.approx(
            sorted(copy.due for copy in copies if copy.due is not None), abs=0.002
        )
        self.fault(("cancel",), cut)
        try:
            count = delays.cancel(self.broker, QUEUE, id)
            assert count == len(copies)
        except ServerUnavailable:
            assert cut is not None
        self.faults.clear()
        if cut in (None, "after"):
            for copy in copies:
                copy.over = "cancelled"
            if copies:
                self.revoked.add(id)

    # -- dying -------------------------------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        """kill -9: whoever ran it knows nothing any more, and so settles nothing."""
        for held in self.broker.holds.values():
            if held.hold.token not in self.zombies:
                self.copies[held.args[0]].died = True
        self.live.clear()
        self.broker.abandon()
        self.source = self.broker.consume(QUEUE, prefetch=1_000, timeout=1)
        self.cut = True  # what is in a reply that was cut before comes back as what it was

    @precondition(lambda self: self.live)
    @rule()
    def another_takes_this_worker_for_dead(self) -> None:
        """SIGSTOP past the lease: it goes on as a zombie."""
        for held in self.broker.holds.values():
            copy = self.copies[held.args[0]]
            if held.hold.token in self.zombies:
                continue
            copy.died = True
            if copy.may_be_dead:
                copy.died = False  # the other one would settle that, which this does not play
            else:
                self.zombies.add(held.hold.token)
        take_away(self.broker)

    @precondition(lambda self: self.live)
    @rule(how=st.sampled_from([Disposition.DONE, Disposition.RETRY]), cut=st.sampled_from([None, "after"]))
    def a_zombie_settles(self, how: Disposition, cut: Any) -> None:
        self.another_takes_this_worker_for_dead()
        self.settle(0, how, 0.0, cut)

    @rule(cut=CUTS)
    def reap(self, cut: Any) -> None:
        self.fault(("reap",), cut)
        self.upkeep(self.broker.upkeep.run_once)

    @rule(cut=CUTS)
    def promote(self, cut: Any) -> None:
        self.fault(("promote",), cut)
        if self.upkeep(self.broker.upkeep.promote_once) or cut == "after":
            for copy in self.delayed():
                if copy.due is not None and copy.due <= clock.now() + 0.0005:
                    copy.due = None

    def upkeep(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except ServerUnavailable:
            return False
        finally:
            self.faults.clear()
        return True

    @rule(seconds=st.sampled_from([0.5, 3.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule()
    def an_outage_at_a_look(self) -> None:
        with self.faults.outage():
            assert not self.upkeep(self.broker.upkeep.run_once)

    # -- what is always so -------------------------------------------------------------------------------

    @invariant()
    def dead_letters_are_those_that_failed_or_were_poison(self) -> None:
        letters = [Message.decode(base64.b64decode(body["message"])) for body in dead_letters(self.broker, QUEUE)]
        dead = [letter.args[0] for letter in letters]
        assert len(dead) == len(set(dead))
        for number in dead:
            if self.copies[number].may_be_dead:
                self.copies[number].over = "dead"
        assert set(dead) == {number for number, copy in self.copies.items() if copy.over == "dead"}

    @invariant()
    def nothing_is_lost_and_nothing_is_twice(self) -> None:
        assert self.broker.size(QUEUE) == sum(not copy.over for copy in self.copies.values())

    @invariant()
    def what_is_held_is_there(self) -> None:
        for stream in self.broker.keys_of(QUEUE).streams:
            there: Any = self.broker.storage.client.xrange(stream)
            entries = {entry for entry, _ in there}
            assert {entry.encode() for entry, _ in pending(self.broker.storage, stream)} <= entries

    @invariant()
    def what_was_cancelled_is_revoked(self) -> None:
        for id in self.revoked:
            assert self.broker.records.read(id).state is State.REVOKED

    def everything_accepted_can_be_brought_to_its_end(self) -> None:
        self.crash()
        for _ in range(6):
            self.reap(None)
            self.promote(None)
            self.dead_letters_are_those_that_failed_or_were_poison()
            while (held := self.take()) is not None:
                self.live.clear()
                self.source.ack(held)
                self.settled(self.copies[held.args[0]], Disposition.DONE, 0)
            self.clock.tick(LEASE + 20)
        self.dead_letters_are_those_that_failed_or_were_poison()
        assert self.broker.size(QUEUE) == 0
        assert all(copy.over for copy in self.copies.values())


def play(kind: Kind, request: pytest.FixtureRequest, *, games: int, steps: int, same: bool) -> None:
    url: str | None = request.getfixturevalue("server_url") if kind == "server" else None
    # Thousands of outages; a failure tells the steps that led to it.
    request.getfixturevalue("caplog").set_level(logging.CRITICAL, "understudy")
    run_state_machine_as_test(
        lambda: BrokerMachine(kind, url),  # type: ignore[arg-type]  # whatever makes one will do
        settings=settings(
            max_examples=games,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            derandomize=same,
            # What was found once has a test of its own.
            phases=[Phase.generate, Phase.shrink],
        ),
    )


def test_any_order_of_operations_is_as_the_model_says(broker_kind: Kind, request: pytest.FixtureRequest) -> None:
    play(broker_kind, request, games=60 if broker_kind == "stub" else 100, steps=40, same=True)


@pytest.mark.chaos_long
def test_any_order_of_many_operations_is_as_the_model_says(broker_kind: Kind, request: pytest.FixtureRequest) -> None:
    play(broker_kind, request, games=1_500, steps=80, same=False)
