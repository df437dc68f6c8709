"""Gives every execution its progress reporter."""

from __future__ import annotations

from typing import Any

from dramatiq import Broker, Middleware

from understudy.progress import Reporter

from .executions import of, opened


class Progress(Middleware):
    """Below ``States``: progress is written under the hold that it takes."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        execution.contributors.append(Reporter(execution, interval=settling.settings.progress_interval))
