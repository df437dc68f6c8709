from __future__ import annotations

import pytest

from understudy.brokers.redis import RedisBroker


@pytest.fixture
def broker(broker: RedisBroker) -> RedisBroker:
    """Without the actors of the application, whose periodic jobs are none of these tests'."""
    broker.actors.clear()
    return broker
