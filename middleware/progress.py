"""Gives every execution its progress reporter, when it asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from dramatiq import Broker, Middleware

from understudy.asynchronous.reporting import AsideReporter
from understudy.brokers.redis import RedisBroker
from understudy.brokers.upkeep import GATHER
from understudy.execution import Execution
from understudy.progress import Reporter

from .executions import of, opened


class Progress(Middleware):
    """Below ``States``: progress is written under the hold that it takes."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        interval = settling.settings.progress_interval
        # As with started marks. Where no thread comes by later to write it, it is written at once.
        gather = min(GATHER, interval) if isinstance(settling, RedisBroker) and settling.keeps_up else 0.0
        execution.reporting = _reporting(AsideReporter if held.on_loop else Reporter, interval, gather)


@cache
def _reporting(kind: type[Reporter], interval: float, gather: float) -> Callable[[Execution], Reporter]:
    return partial(kind, interval=interval, gather=gather)
