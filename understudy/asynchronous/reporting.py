"""Progress of a body on the shared event loop: it is noted there, and threads write it."""

from __future__ import annotations

import threading
from typing import Any

from understudy.asking import aside
from understudy.bar import encoded
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.execution import Execution
from understudy.outcome import Outcome
from understudy.progress import Reporter


class AsideReporter(Reporter):
    """A reporter whose ``update`` and ``advance`` never wait. A lost lease is learned by the next call."""

    def __init__(self, execution: Execution, *, interval: float, gather: float = 0.0) -> None:
        super().__init__(execution, interval=interval, gather=gather)
        #: Held by whoever writes; ``_lock`` only for a moment.
        self._writing = threading.Lock()
        self._is_asked = False
        #: What ``advance`` has added to what an earlier execution came to, before that was known.
        self._ahead = 0

    def update(self, current_item: int | None, total: int | None, **info: Any) -> None:
        self._execution.confirm()
        self._ahead = 0
        super().update(current_item, total, **info)

    def advance(self, n: int) -> None:
        self._execution.confirm()
        with self._lock:
            unknown = self._bar.says_nothing
            if unknown:
                self._ahead += n
            is_due = unknown or self._note(encoded(self._bar.advance(n)))
        if is_due:
            self._tell()

    def flush(self) -> None:
        with self._writing:
            self._catch_up()
            with self._lock:
                data, self._pending = self._pending, None
            if data is None:
                return
            try:
                held = self._send(data)
            except BaseException:
                with self._lock:
                    self._pending = self._pending or data
                raise
        self._execution.confirm(held)

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        with self._writing:
            try:
                self._catch_up()
            except ServerUnavailable:
                self._ahead = 0  # where an earlier execution came to is shown as it was
        super().contribute(outcome, exception)

    def _tell(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            if not aside(self._write_aside):
                self._write_aside()

    def _write_aside(self) -> None:
        self._is_asked = False
        try:
            self.flush()
        except LeaseLost:
            self._execution.lost = True
        except ServerUnavailable:
            return  # it is kept, and the heartbeat tries again

    def _catch_up(self) -> None:
        if not self._ahead:
            return
        shown = self._shown()
        with self._lock:
            self._bar.go_on_from(shown)
            ahead, self._ahead = self._ahead, 0
            self._note(encoded(self._bar.advance(ahead)))
