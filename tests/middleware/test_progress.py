from __future__ import annotations

from collections.abc import Callable

from understudy import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.execution import current
from understudy.progress import Reporter

Drain = Callable[..., int]


def test_every_execution_has_a_reporter(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[Reporter | None] = []

    @actor
    def body() -> None:
        seen.append(Reporter.of(current()))

    body.send()
    body.send()
    drain()
    assert all(isinstance(reporter, Reporter) for reporter in seen)
    assert seen[0] is not seen[1]
    assert Reporter.of(None) is None
