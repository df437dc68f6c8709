from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.settlement import SettlingBroker

from .bench import Bench


@pytest.fixture
def bench(broker: SettlingBroker, freezer: FrozenDateTimeFactory) -> Bench:
    return Bench(broker.storage)
