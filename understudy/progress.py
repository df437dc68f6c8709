"""Progress: how far a body is, for whoever looks (S04).

``update`` and ``advance`` may be called as often as the body likes: at most one write per
``UNDERSTUDY_PROGRESS_INTERVAL`` leaves the process, and the last value is always written, at the latest by the
heartbeat or with the outcome.

Within an execution the bar does not go back: what is lower than before is shown as before, unless the total is another
one, or it is 0, which begins anew. The next execution (a retry, another delivery) shows where the last one came to
until it says something itself: ``advance`` goes on from there, ``update`` says what it says.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from . import clock, serialization
from .bar import Bar, Pace, encoded
from .execution import Execution, current
from .outcome import Outcome


def update(current_item: int | None = None, total: int | None = None, **info: Any) -> None:
    """Say how far the running body is. Does nothing when the actor is called as a plain function.

    Args:
      current_item: how many are done. None leaves it out. Less than before in this execution, with the same total, is
        shown as before; 0 begins anew.
      total: how many there are. None leaves it out.
      info: anything else to show; plain values.

    Raises:
      LeaseLost: this process no longer holds the message; let it pass, it stops the body.
      ServerUnavailable: the server could not be asked.
      SerializationError: a value of ``info`` cannot travel.
    """
    reporter = Reporter.of(current())
    if reporter is not None:
        reporter.update(current_item, total, **info)


def advance(n: int = 1) -> None:
    """Say that ``n`` more are done, whatever the rest of what was said last. Does nothing when the actor is called as a
    plain function.

    An execution that did not say anything yet goes on from where the one before it came to; the server is asked for
    that, once. In a body that does everything again say ``update(0, total)`` first.

    Raises:
      ValueError: ``n`` is negative.
      LeaseLost, ServerUnavailable: as with ``update``.
    """
    if n < 0:
        raise ValueError(f"progress.advance({n}): the bar does not go back; say progress.update(0) to begin anew")
    reporter = Reporter.of(current())
    if reporter is not None:
        reporter.advance(n)


_making = threading.Lock()


class Reporter:
    """Writes the progress of one execution, not more often than every ``interval`` seconds.

    Args:
      gather: seconds from the beginning of the body in which nothing is written by itself: a body that is shorter
        shows its progress with its outcome, and costs no round trip.
    """

    # What few need: most bodies are over before anything is written.
    _pending: bytes | None = None
    _pace: Pace | None = None
    _elsewhere: Callable[[], bytes | None] | None = None

    def __init__(self, execution: Execution, *, interval: float, gather: float = 0.0) -> None:
        self._execution = execution
        self._interval = interval
        self._written_at = execution.began_at - interval + gather if gather else -math.inf
        self._bar = Bar()
        self._lock = threading.Lock()

    @staticmethod
    def of(execution: Execution | None) -> Reporter | None:
        """The reporter of ``execution``, if it has one. It is made when it is first asked for."""
        if execution is None:
            return None
        found = execution.reporter
        if found is None and execution.reporting is not None:
            with _making:
                found = execution.reporter
                if found is None:
                    execution.reporter = found = execution.reporting(execution)
                    # The first to contribute: whoever comes after it may have something to say that is newer.
                    execution.contributors.insert(0, found)
        return found if isinstance(found, Reporter) else None

    @staticmethod
    def made(execution: Execution) -> Reporter | None:
        """The reporter of ``execution``, if somebody has asked for it."""
        return execution.reporter if isinstance(execution.reporter, Reporter) else None

    def update(self, current_item: int | None, total: int | None, **info: Any) -> None:
        """Take a new value; write it if the last write is long enough ago."""
        with self._lock:
            is_due = self._note(encoded(self._bar.update(current_item, total, info)))
        if is_due:
            self._tell()

    def advance(self, n: int) -> None:
        """Take a value that is ``n`` more than the last one; write it if the last write is long enough ago."""
        if self._bar.says_nothing:
            shown = self._shown()
            with self._lock:
                self._bar.go_on_from(shown)
        with self._lock:
            is_due = self._note(encoded(self._bar.advance(n)))
        if is_due:
            self._tell()

    def begin_anew(self) -> None:
        """The next value may be lower than the last one."""
        with self._lock:
            self._bar = Bar()

    def _shown(self) -> dict[str, Any]:
        """What the last execution came to."""
        record = self._execution.records.read(self._execution.message_id)
        return {} if record.state.terminal else record.value("info") or {}

    def _note(self, data: bytes) -> bool:
        """Keep the last value; whether it is time to write it."""
        self._pending = data
        return clock.monotonic() - self._written_at >= self._interval

    def _tell(self) -> None:
        self.flush()

    def flush(self) -> None:
        """Write the last value if it is not written yet."""
        with self._lock:
            self._look_elsewhere()
            if self._pending is None:
                return
            held = self._write(self._pending)
        self._execution.confirm(held)

    def write(self, data: bytes) -> bool:
        """Write ``data``, encoded, now; False when this delivery does not hold the message any more."""
        with self._lock:
            return self._write(data)

    def attach(self, elsewhere: Callable[[], bytes | None]) -> None:
        """Until ``detach``, take what ``elsewhere`` gives for the last value: that of a body in another process."""
        self._elsewhere = elsewhere

    def detach(self) -> None:
        """Take the last value for good."""
        with self._lock:
            self._look_elsewhere()
            self._elsewhere = None

    def _look_elsewhere(self) -> None:
        if self._elsewhere is not None:
            self._pending = self._elsewhere() or self._pending

    def _write(self, data: bytes) -> bool:
        held = self._send(data)
        self._pending = None
        return held

    def _send(self, data: bytes) -> bool:
        execution = self._execution
        self._written_at = clock.monotonic()
        self._pace = self._pace or Pace()
        rate = self._pace.at(self._written_at, serialization.loads(data).get("current"))
        return execution.records.progress(
            execution.message_id, execution.hold, info=data, rate=rate, actor=execution.actor.actor_name
        )

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        """What was throttled last goes with the outcome."""
        with self._lock:
            if self._pending is not None:
                outcome.fields.setdefault("info", self._pending)
                self._pending = None
