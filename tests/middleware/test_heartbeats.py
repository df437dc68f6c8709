"""What writes the throttled progress of a running body. Tests call the step."""

from __future__ import annotations

import threading
from collections.abc import Callable

import dramatiq
import pytest
from freezegun.api import FrozenDateTimeFactory

from middleware.heartbeats import Heartbeats
from tests.understudy.brokers.helpers import take_away
from understudy import Idempotency, actor, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.errors import LeaseLost
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def of(broker: RedisBroker) -> Heartbeats:
    return next(part for part in broker.middleware if isinstance(part, Heartbeats))


def test_the_claim_of_a_long_body_is_not_taken_over(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> None:
        ran.append(1)
        if len(ran) > 1:
            return
        body.send_with_options(idempotency_key="k")
        for _ in range(10):
            freezer.tick(broker.settings.heartbeat_timeout / 3)
            of(broker).run_once(broker)
        StepWorker(broker, faults).drain()

    body.send_with_options(idempotency_key="k")
    step_worker.drain()
    assert ran == [1]


def test_throttled_progress_is_written(broker: RedisBroker, drain: Drain) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 60.0})

    @actor
    def body() -> None:
        progress.update(1)
        progress.update(2)
        assert handle(message).progress == {"current": 1}
        of(broker).run_once(broker)
        assert handle(message).progress == {"current": 2}

    message = body.send()
    drain()
    assert handle(message).status == "SUCCESS"


def test_an_outage_is_logged_and_the_next_round_tries_again(
    broker: RedisBroker, drain: Drain, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 60.0})

    @actor
    def body() -> None:
        progress.update(1)
        progress.update(2)
        with faults.outage():
            of(broker).run_once(broker)
        of(broker).run_once(broker)
        assert handle(message).progress == {"current": 2}

    message = body.send()
    drain()
    assert handle(message).status == "SUCCESS"
    assert caplog.text.count("heartbeat failed") == 1


@pytest.mark.parametrize("idempotency", [None, Idempotency()])
def test_a_message_that_was_taken_away_stops_the_body_at_its_next_write(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, idempotency: Idempotency | None
) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 60.0})
    caught: list[LeaseLost] = []

    @actor(idempotency=idempotency)
    def body() -> str:
        if caught:
            return "second"
        progress.update(1)
        progress.update(2)
        take_away(broker)
        of(broker).run_once(broker)
        try:
            freezer.tick(60)
            progress.update(3)
        except LeaseLost as error:
            caught.append(error)
            raise
        return "first"

    message = body.send()
    drain()
    assert len(caught) == 1
    assert handle(message).get() == "second"
    assert broker.refused == 1


def test_what_has_ended_is_not_asked_about(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor(idempotency=Idempotency())
    def body() -> None: ...

    body.send()
    drain()
    faults.exchanges.clear()
    of(broker).run_once(broker)
    assert faults.exchanges == []


@pytest.mark.brokers("server")
def test_a_worker_has_one_thread_for_it(broker: RedisBroker) -> None:
    def named() -> int:
        return sum(thread.name == "heartbeats" for thread in threading.enumerate())

    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    wait_until(lambda: named() == 1)
    worker.stop()
    assert named() == 0
