from __future__ import annotations

from itertools import pairwise

import tasks
from middleware.metrics import Metrics
from tasks.utils.monitoring import BODY_SECONDS


def test_the_buckets_of_this_house_are_those_of_its_workers() -> None:
    assert [part.buckets for part in tasks.broker.middleware if isinstance(part, Metrics)] == [BODY_SECONDS]
    assert all(one < other for one, other in pairwise(BODY_SECONDS))
