from __future__ import annotations

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from middleware.lifecycle import Lifecycle
from understudy import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.testing.faults import Faults


def test_a_worker_announces_its_actors(broker: SettlingBroker) -> None:
    @actor(queue_name="mail")
    def body() -> None: ...

    Lifecycle().after_worker_boot(broker, None)
    assert broker.records.announced_queue("body") == "mail"


def test_without_a_server_the_worker_starts_all_the_same(
    broker: SettlingBroker, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    @actor
    def body() -> None: ...

    with faults.outage():
        Lifecycle().after_worker_boot(broker, None)
    assert "could not be announced" in caplog.text


@pytest.mark.brokers("server")
def test_bodies_are_told_that_the_worker_stops(broker: SettlingBroker) -> None:
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    assert not broker.stopping.is_set()
    worker.stop()
    assert broker.stopping.is_set()


def test_another_broker_is_left_alone() -> None:
    other = StubBroker(middleware=[])
    Lifecycle().after_worker_boot(other, None)
    Lifecycle().before_worker_shutdown(other, None)
