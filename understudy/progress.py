"""Progress: how far a body is, for whoever looks (S04).

``update`` may be called as often as the body likes: at most one write per ``UNDERSTUDY_PROGRESS_INTERVAL`` leaves
the process, and the last value is always written, at the latest by the heartbeat or with the outcome.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from . import clock, serialization
from .execution import Execution, current
from .outcome import Outcome


def update(current_item: int | None = None, total: int | None = None, **info: Any) -> None:
    """Say how far the running body is. Does nothing when the actor is called as a plain function.

    Args:
      current_item: how many are done. None leaves it out.
      total: how many there are. None leaves it out.
      info: anything else to show; plain values.

    Raises:
      LeaseLost: this process no longer holds the message; let it pass, it stops the body.
      ServerUnavailable: the server could not be asked.
    """
    reporter = Reporter.of(current())
    if reporter is not None:
        reporter.update(current_item, total, **info)


class Reporter:
    """Writes the progress of one execution, not more often than every ``interval`` seconds."""

    def __init__(self, execution: Execution, *, interval: float) -> None:
        self._execution = execution
        self._interval = interval
        self._written_at = -math.inf
        self._pending: bytes | None = None
        self._lock = threading.Lock()

    @staticmethod
    def of(execution: Execution | None) -> Reporter | None:
        """The reporter of ``execution``, if it has one."""
        if execution is None:
            return None
        return next((part for part in execution.contributors if isinstance(part, Reporter)), None)

    def update(self, current_item: int | None, total: int | None, **info: Any) -> None:
        """Take a new value; write it if the last write is long enough ago."""
        values: dict[str, Any] = {"current": current_item, "total": total}
        values = {name: value for name, value in values.items() if value is not None}
        data = serialization.dumps({**values, **info}, root="progress")
        with self._lock:
            self._pending = data
            if clock.monotonic() - self._written_at < self._interval:
                return
        self.flush()

    def flush(self) -> None:
        """Write the last value if it is not written yet."""
        execution = self._execution
        with self._lock:
            if self._pending is None:
                return
            data, self._written_at = self._pending, clock.monotonic()
            held = execution.records.progress(
                execution.message_id, execution.hold, info=data, actor=execution.actor.actor_name
            )
            self._pending = None
        execution.confirm(held)

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        """What was throttled last goes with the outcome."""
        with self._lock:
            if self._pending is not None:
                outcome.fields.setdefault("info", self._pending)
                self._pending = None
