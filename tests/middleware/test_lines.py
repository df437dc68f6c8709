"""What does not run holds no place in the line of a limit: those behind it move up, at once and exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from understudy import ConcurrencyLimit, Idempotency, RateLimit, actor, chain, clock, handle
from understudy.breaking import CircuitBreaker
from understudy.brokers import delays
from understudy.brokers.redis import RedisBroker
from understudy.states import State
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]
Run = Callable[[float], None]
Send = Callable[[str], Message[Any]]


class Log:
    """What began, and when, in seconds from the start of the test."""

    def __init__(self) -> None:
        self.start = clock.now()
        self.began: list[tuple[str, float]] = []

    def note(self, name: str) -> None:
        self.began.append((name, round(clock.now() - self.start, 3)))


@pytest.fixture
def log(freezer: FrozenDateTimeFactory) -> Log:
    return Log()


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards ask ahead for messages that are fetched together; one that comes alone asks when it begins."""
    monkeypatch.setattr(RedisBroker, "keeps_up", True)


@pytest.fixture
def run_for(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> Run:
    """Let so many seconds pass, with a worker that does what is due when it is due."""

    def first() -> float | None:
        found: Any = broker.storage.client.zrange(broker.keys_of("default").delayed, 0, 0, withscores=True)
        return math.ceil(float(found[0][1])) / 1000 if found else None

    def run_for(seconds: float) -> None:
        end = clock.now() + seconds
        drain()
        while (due := first()) is not None and due <= end:
            freezer.move_to(datetime.fromtimestamp(max(due, clock.now()), UTC))
            drain()
        freezer.move_to(datetime.fromtimestamp(end, UTC))
        drain()

    return run_for


def line(broker: RedisBroker, name: str) -> list[bytes]:
    found: Any = broker.storage.client.zrange(broker.storage.keys.limit(name)[2], 0, -1)
    return list(found)


@pytest.mark.parametrize(("kind", "on_doubt"), [("bucket", "repeat"), ("window", "skip")])
def test_duplicates_ahead_of_it_cost_a_message_no_time(
    broker: RedisBroker, run_for: Run, log: Log, ahead: None, kind: Any, on_doubt: Any
) -> None:
    @actor(rate_limit=RateLimit(1, per=10, kind=kind), idempotency=Idempotency(key="{name}", on_doubt=on_doubt))
    def body(name: str) -> str:
        log.note(name)
        return name

    sent = [body.send(name) for name in ("a", *"a" * 20, "b", "a", "c")]
    run_for(21)
    assert log.began == [("a", 0), ("b", 10), ("c", 20)]
    assert {handle(one).get() for one in sent[:21]} == {"a"}
    assert line(broker, "rate:actor:body") == []


def test_a_duplicate_of_what_is_done_gives_back_the_turn_that_it_was_given(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log, ahead: None
) -> None:
    @actor(rate_limit=RateLimit(1, per=10), idempotency=Idempotency(key="{name}", on_doubt="skip"))
    def body(name: str) -> None:
        log.note(name)

    body.send("a")
    drain()
    freezer.tick(100)
    for name in "aab":
        body.send(name)
    drain()
    assert log.began == [("a", 0), ("b", 100)], "at once"


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_what_expires_in_line_holds_up_nobody(
    broker: RedisBroker, run_for: Run, log: Log, ahead: None, kind: Any
) -> None:
    @actor(rate_limit=RateLimit(1, per=10, kind=kind))
    def body(name: str) -> None:
        log.note(name)

    body.send("first")
    expiring = [body.send_with_options(args=(f"e{n}",), expires=5) for n in range(20)]
    body.send("second")
    body.send("third")
    run_for(21)
    assert log.began == [("first", 0), ("second", 10), ("third", 20)]
    assert {handle(one).status for one in expiring} == {State.REVOKED}


def test_what_has_expired_at_the_fetch_asks_for_no_turn(
    broker: RedisBroker, run_for: Run, freezer: FrozenDateTimeFactory, log: Log, ahead: None
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(name: str) -> None:
        log.note(name)

    for n in range(20):
        body.send_with_options(args=(f"e{n}",), expires=5)
    body.send("live")
    freezer.tick(6)
    run_for(1)
    assert log.began == [("live", 6)]


@pytest.mark.parametrize("when", ["before", "in-line"])
def test_what_is_revoked_holds_up_nobody(
    broker: RedisBroker, drain: Drain, run_for: Run, log: Log, ahead: None, when: str
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(name: str) -> None:
        log.note(name)

    body.send("first")
    revoked = [body.send(f"r{n}") for n in range(20)]
    body.send("second")
    body.send("third")
    if when == "in-line":
        drain()
        assert len(line(broker, "rate:actor:body")) == 22
    for one in revoked:
        handle(one).revoke()
    if when == "in-line":
        assert len(line(broker, "rate:actor:body")) == 2, "at once"
    run_for(21)
    assert log.began == [("first", 0), ("second", 10), ("third", 20)]


def test_the_next_ones_of_a_workflow_that_was_revoked_hold_up_nobody(
    broker: RedisBroker, drain: Drain, run_for: Run, log: Log, ahead: None
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(name: str, *_: object) -> None:
        log.note(name)

    body.send("first")
    flows = [chain(body.message(f"r{n}"), body.message("never")).run() for n in range(5)]
    body.send("second")
    drain()
    for flow in flows:
        flow.root.revoke() if hasattr(flow, "root") else flow.revoke()
    run_for(11)
    assert log.began == [("first", 0), ("second", 10)]


def test_what_is_cancelled_in_line_holds_up_nobody(broker: RedisBroker, drain: Drain, run_for: Run, log: Log) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(name: str) -> None:
        log.note(name)

    sent = [body.send(name) for name in ("first", "gone", "second")]
    drain()
    assert delays.cancel(broker, "default", sent[1].message_id) == 1
    run_for(11)
    assert log.began == [("first", 0), ("second", 10)]


def test_all_behind_a_gap_move_up_one_after_the_other_and_in_order(
    broker: RedisBroker, drain: Drain, run_for: Run, log: Log, ahead: None
) -> None:
    @actor(rate_limit=RateLimit(2, per=1))
    def body(name: int) -> None:
        log.note(str(name))

    sent = [body.send(number) for number in range(40)]
    drain()
    for number in range(1, 40):
        if number % 3:
            handle(sent[number]).revoke()
    run_for(7)
    assert log.began == [(str(3 * number), number / 2) for number in range(14)]


def test_what_arrives_behind_a_gap_is_not_told_a_time_that_is_taken(
    broker: RedisBroker, drain: Drain, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(name: str) -> None:
        log.note(name)

    sent = [body.send(name) for name in "abcd"]
    drain()
    handle(sent[1]).revoke()
    body.send("e")
    run_for(31)
    assert log.began == [("a", 0), ("c", 10), ("d", 20), ("e", 30)]


def test_the_line_is_that_of_the_key_in_whatever_queue_its_messages_wait(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log
) -> None:
    limit = RateLimit(1, per=10, key="k")

    @actor(rate_limit=limit)
    def one(name: str) -> None:
        log.note(name)

    @actor(rate_limit=limit, queue_name="other")
    def other(name: str) -> None:
        log.note(name)

    one.send("first")
    drain()
    gone = one.send("gone")
    drain()
    other.send("second")
    drain()
    handle(gone).revoke()
    freezer.tick(10)
    drain()
    assert log.began == [("first", 0), ("second", 10)]


def test_what_waits_for_a_broken_thing_waits_in_no_line(
    broker: RedisBroker, drain: Drain, run_for: Run, log: Log, ahead: None
) -> None:
    @actor(
        rate_limit=RateLimit(1, per=10, key="k"), circuit_breaker=CircuitBreaker(key="{name}", failures=1, cooldown=300)
    )
    def body(name: str) -> None:
        log.note(name)
        if name == "broken":
            raise ConnectionError

    body.send("broken")
    drain()
    for name in ("broken", "broken", "whole"):
        body.send(name)
    run_for(11)
    assert log.began == [("broken", 0), ("whole", 10)]


def test_what_waits_for_its_running_twin_keeps_its_arrival_and_holds_up_nobody(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, log: Log, ahead: None
) -> None:
    @actor(rate_limit=RateLimit(10, per=100), idempotency=Idempotency(key="{name}"))
    def body(name: str, outer: bool = False) -> None:
        log.note(name)
        if outer:
            for other in ("a", "a", "b"):
                body.send(other)
            freezer.tick(10)
            StepWorker(broker, step_worker.faults).drain()

    body.send("a", outer=True)
    step_worker.drain()
    assert log.began == [("a", 0), ("b", 10)]


def test_a_turn_that_was_given_to_what_goes_back_before_it_began_is_for_the_next_one(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log
) -> None:
    @actor(rate_limit=RateLimit(1, per=60))
    def body(name: str) -> None:
        log.note(name)

    body.send("first")
    (held,) = [one for one in [next(broker.consume("default", prefetch=1, timeout=10))] if one is not None]
    broker.emit_before("work", [held])
    assert held.turn is not None
    broker.hand_back(held)  # type: ignore[arg-type]  # one of ours
    drain()
    assert log.began == [("first", 0)]


def test_who_waits_for_a_place_and_does_not_run_holds_up_nobody(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, log: Log
) -> None:
    @actor(concurrency_limit=ConcurrencyLimit(1), rate_limit=RateLimit(100))
    def body(name: str) -> None:
        log.note(name)
        if name == "first":
            for n in range(5):
                body.send_with_options(args=(f"e{n}",), expires=5)
            body.send("second")
            StepWorker(broker, step_worker.faults).drain()
            freezer.tick(6)

    body.send("first")
    step_worker.drain()
    assert log.began == [("first", 0), ("second", 6)], "without any time passing"


def test_an_outcome_that_never_arrives_leaves_its_place_in_line_when_it_is_known(
    broker: RedisBroker, drain: Drain, run_for: Run, log: Log, faults: Faults
) -> None:
    @actor(rate_limit=RateLimit(1, per=10), idempotency=Idempotency(key="{name}"))
    def body(name: str) -> None:
        log.note(name)

    body.send("a")
    drain()
    for name in "aab":
        body.send(name)
    faults.fail("settle", when="after", times=2)
    run_for(15)
    assert log.began == [("a", 0), ("b", 10)]
