from __future__ import annotations

import pytest

from understudy.brokers.lease import Lease
from understudy.brokers.redis import RedisBroker
from understudy.testing.conditions import wait_until

pytestmark = pytest.mark.brokers("server")


def lease(broker: RedisBroker) -> Lease:
    return Lease(broker.storage, key=broker.storage.keys.leases, worker="w", interval=0.02)


def beats(broker: RedisBroker) -> int:
    return int(broker.storage.call("HGET", broker.storage.keys.leases, "w") or 0)


def test_it_is_renewed_from_its_start_to_its_stop(broker: RedisBroker) -> None:
    broker.storage.call("HSETNX", broker.storage.keys.leases, "w", 1)
    held = lease(broker)
    assert not held.alive()
    held.start()
    wait_until(lambda: beats(broker) > 2)
    assert held.alive()
    held.stop()
    assert not held.alive()
    seen = beats(broker)
    held.stop()
    assert beats(broker) == seen


def test_a_helper_without_a_lease_ends_and_can_be_started_again(broker: RedisBroker) -> None:
    held = lease(broker)
    held.start()
    wait_until(lambda: not held.alive())
    broker.storage.call("HSETNX", broker.storage.keys.leases, "w", 1)
    held.start()
    wait_until(lambda: beats(broker) > 2)
    held.stop()
