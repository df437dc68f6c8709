from __future__ import annotations

from middleware import stack as module
from understudy.brokers.settlement import SettlingBroker


def test_the_order_is_the_one_that_the_picture_shows(broker: SettlingBroker) -> None:
    names = [type(part).__name__ for part in module.stack(broker.settings)]
    assert names == [
        "Lifecycle",
        "Metrics",
        "Coroutines",
        "Executions",
        "Alerts",
        "Callbacks",
        "Lineage",
        "Canvas",
        "Idempotency",
        "Revocation",
        "Expiry",
        "CircuitBreakers",
        "Limits",
        "States",
        "Progress",
        "Heartbeats",
        "Doubts",
        "TimeLimits",
        "Results",
        "Pipelines",
        "Retries",
        "Termination",
    ]
    picture = module.__doc__ or ""
    for name in names:
        assert f"\n    {name}" in picture, f"{name} is missing in the picture"


def test_each_worker_has_its_own(broker: SettlingBroker) -> None:
    first, second = module.stack(broker.settings), module.stack(broker.settings)
    assert not {id(part) for part in first} & {id(part) for part in second}
