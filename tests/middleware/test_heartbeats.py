"""What keeps a running body's claim and writes its throttled progress. Tests call the step."""

from __future__ import annotations

import threading
from collections.abc import Callable

import dramatiq
import pytest
from freezegun.api import FrozenDateTimeFactory

from middleware.heartbeats import Heartbeats
from understudy import Idempotency, actor, handle, progress
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import LeaseLost
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]
LEASE = 10


def of(broker: SettlingBroker) -> Heartbeats:
    return next(part for part in broker.middleware if isinstance(part, Heartbeats))


def test_a_renewed_claim_is_not_taken_over(
    broker: SettlingBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, faults: Faults
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


def test_throttled_progress_is_written(broker: SettlingBroker, drain: Drain) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 3_600.0})

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
    broker: SettlingBroker, drain: Drain, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    @actor(idempotency=Idempotency())
    def body() -> None:
        with faults.outage():
            of(broker).run_once(broker)
        of(broker).run_once(broker)

    message = body.send()
    drain()
    assert handle(message).status == "SUCCESS"
    assert caplog.text.count("heartbeat failed") == 1


def test_a_claim_that_is_lost_stops_the_body_at_its_next_write(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    caught: list[LeaseLost] = []

    @actor(idempotency=Idempotency())
    def body() -> str:
        if caught:
            return "second"
        claim = next(broker.storage.client.scan_iter(match=broker.storage.keys.claim("*")))
        broker.storage.client.hset(claim, "token", "somebody else's")
        of(broker).run_once(broker)
        try:
            progress.update(1)
        except LeaseLost as error:
            caught.append(error)
            raise
        return "first"

    message = body.send()
    drain()
    assert len(caught) == 1
    for _ in range(3):
        freezer.tick(LEASE)
        drain()
    assert handle(message).get() == "second"


def test_what_has_ended_is_not_renewed(broker: SettlingBroker, drain: Drain, faults: Faults) -> None:
    @actor(idempotency=Idempotency())
    def body() -> None: ...

    body.send()
    drain()
    faults.exchanges.clear()
    of(broker).run_once(broker)
    assert faults.exchanges == []


@pytest.mark.brokers("server")
def test_a_worker_has_one_thread_for_it(broker: SettlingBroker) -> None:
    def named() -> int:
        return sum(thread.name == "heartbeats" for thread in threading.enumerate())

    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    wait_until(lambda: named() == 1)
    worker.stop()
    assert named() == 0
