"""The end of an execution, through deaths and outages: one outcome, committed once, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters, take_away
from understudy import Idempotency, Retry, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults, When
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]

#: Longer than the lease of a dead worker.
A_LEASE = 10

#: What happens between a delivery and its end, and what brings back what a dead worker held.
EXCHANGES = ["fetch", "claim", "started", "settle", "reap", "bury"]


def until_done(drain: Drain, freezer: FrozenDateTimeFactory, times: int = 6) -> None:
    for _ in range(times):
        drain()
        freezer.tick(A_LEASE)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_kill_at_any_exchange_of_a_success_leaves_one_outcome(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, exchange: str, when: When
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body(x: int) -> int:
        ran.append(x)
        return len(ran)

    message = body.send(1)
    faults.kill_at(exchange, when=when)
    until_done(drain, freezer)
    killed_after_the_body_and_before_the_commit = (exchange, when) == ("settle", "before")
    assert len(ran) == (2 if killed_after_the_body_and_before_the_commit else 1)
    assert handle(message).get() == len(ran)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_in_doubt_is_only_what_had_begun(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, exchange: str, when: When
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(on_doubt="skip"))
    def body(x: int) -> int:
        ran.append(x)
        return x

    message = body.send(1)
    faults.kill_at(exchange, when=when)
    until_done(drain, freezer)
    # The beginning is recorded before the body, so from then on nobody knows how far it came.
    begun_and_not_committed = (exchange, when) in [
        ("started", "before"),
        ("started", "after"),
        ("settle", "before"),
    ]
    if begun_and_not_committed:
        assert type(handle(message).result).__name__ == "InDoubt"
        assert len(ran) <= 1
    else:
        assert handle(message).get() == 1
        assert ran == [1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_kill_at_any_exchange_of_a_failure_leaves_the_key_to_others(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, exchange: str, when: When
) -> None:
    good = False

    @actor(idempotency=Idempotency())
    def body() -> str:
        if not good:
            raise ValueError
        return "good"

    message = body.send_with_options(idempotency_key="k")
    faults.kill_at(exchange, when=when)
    until_done(drain, freezer)
    assert handle(message).status == "FAILURE"
    good = True
    other = body.send_with_options(idempotency_key="k")
    drain()
    assert handle(other).get() == "good"
    assert drain() == 0


@pytest.mark.parametrize("idempotency", [None, Idempotency()])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", ["fetch", "started", "settle", "promote"])
def test_a_kill_at_any_exchange_of_a_retry_makes_one_retry(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    exchange: str,
    when: When,
    idempotency: Idempotency | None,
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(2, backoff=60, jitter="none"), idempotency=idempotency)
    def body() -> None:
        ran.append(len(ran))
        raise ValueError(len(ran))

    message = body.send()
    faults.kill_at(exchange, when=when)
    until_done(drain, freezer, times=3)
    killed_before_the_commit = (exchange, when) == ("settle", "before")
    assert len(ran) == (2 if killed_before_the_commit else 1)
    assert handle(message).status == "RETRY"
    assert handle(message).retries == 1
    for _ in range(4):
        freezer.tick(120)
        until_done(drain, freezer, times=2)
    assert handle(message).status == "FAILURE"
    assert handle(message).retries == 2
    assert len(ran) == (4 if killed_before_the_commit else 3)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", ["fetch", "started", "settle", "promote"])
@pytest.mark.parametrize("idempotency", [None, Idempotency()])
def test_a_kill_at_any_exchange_of_a_step_starts_the_next_one_once(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    exchange: str,
    when: When,
    idempotency: Idempotency | None,
) -> None:
    ran: list[str] = []

    @actor(idempotency=idempotency)
    def first(x: int) -> int:
        ran.append("first")
        return x + 1

    @actor
    def second(x: int) -> int:
        ran.append("second")
        return x + 1

    steps = first.message(1) | second.message()
    steps.run()  # type: ignore[no-untyped-call]
    faults.kill_at(exchange, when=when)
    until_done(drain, freezer)
    assert handle(steps.messages[-1]).get() == 3
    assert ran.count("first") == (2 if (exchange, when) == ("settle", "before") else 1)
    assert ran.count("second") == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_outage_at_the_commit_is_waited_out(broker: RedisBroker, drain: Drain, faults: Faults, when: When) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> str:
        ran.append(1)
        return "done"

    message = body.send()
    faults.fail("settle", when=when, times=4)
    drain()
    assert ran == [1]
    assert faults.pauses == 4
    assert broker.refused == 0
    assert handle(message).get() == "done"
    assert drain() == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_retry_whose_commit_fails_is_made_once(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    enqueued: Enqueued,
    when: When,
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(1, backoff=5, jitter="none"))
    def body() -> None:
        ran.append(1)
        raise ValueError

    message = body.send()
    faults.fail("settle", when=when, times=3)
    drain()
    assert faults.pauses == 3
    freezer.tick(5)
    drain()
    freezer.tick(60)
    assert drain() == 0
    assert len(ran) == 2
    assert len(enqueued) == 2
    assert handle(message).status == "FAILURE"


def test_dead_letters_are_kept(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> None:
        raise ValueError

    body.send()
    drain()
    assert [letter["reason"] for letter in dead_letters(broker)] == ["ValueError"]
    assert broker.size("default") == 0


@pytest.mark.parametrize("claimed", [False, True])
def test_a_zombie_is_refused(
    broker: RedisBroker,
    step_worker: StepWorker,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    claimed: bool,
) -> None:
    ran: list[str] = []

    @actor(idempotency=Idempotency() if claimed else None, retry=Retry(1, backoff=0))
    def body() -> str:
        if ran:
            ran.append("second")
            return "second"
        ran.append("first")
        assert take_away(broker) == 1
        StepWorker(broker, faults).drain()
        return "first"

    message = body.send()
    step_worker.drain()
    assert ran == ["first", "second"]
    assert broker.refused == 1
    assert handle(message).get() == "second"
    assert step_worker.drain() == 0


def test_the_commit_of_an_unknown_actor_waits_for_a_worker_that_knows_it(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(queue_name="q")
    def newer() -> str:
        return "ran"

    message = newer.send()
    known = broker.actors.pop("newer")
    drain()
    assert handle(message).status == "PENDING"
    broker.actors["newer"] = known
    freezer.tick(5)
    drain()
    assert handle(message).get() == "ran"


def test_nobody_waits_for_ever_for_an_unknown_actor(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(queue_name="q")
    def gone() -> None: ...

    message = gone.send()
    del broker.actors["gone"]
    for _ in range(int(broker.settings.unknown_actor_grace / 5) + 1):
        drain()
        freezer.tick(5)
    drain()
    assert handle(message).status == "FAILURE"
    assert "gone" in str(handle(message).result)


@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
def test_effects_may_be_announced_once_the_outcome_is_committed(
    broker: RedisBroker, faults: Faults, drain: Callable[..., int], fails: bool
) -> None:
    told: list[tuple[str, str]] = []

    class Announcer(dramatiq.Middleware):
        def after_commit(self, broker: Any, message: Any) -> None:
            told.append((message.outcome.disposition, handle(message).status))

    broker.add_middleware(Announcer())

    @actor
    def body() -> None:
        if fails:
            raise ValueError

    body.send()
    faults.fail("settle", times=2)
    drain()
    assert told == [("failed", "FAILURE") if fails else ("done", "SUCCESS")]
