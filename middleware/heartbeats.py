"""Writes the progress that was throttled last, so that a bar never stands still at an old value.

One thread per worker process. ``run_once`` is its step; tests call the step.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from dramatiq import Broker, Middleware

from understudy.brokers.settlement import SettlingBroker
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.execution import Execution
from understudy.progress import Reporter

from .executions import of, opened

logger = logging.getLogger(__name__)


class Heartbeats(Middleware):
    """Below the guards: what it finds has been let in."""

    def __init__(self) -> None:
        self._running: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, _ = of(broker, message)
        execution = opened(held)
        with self._lock:
            self._running[execution.token] = execution

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, _ = of(broker, message)
        if held.execution is not None:
            with self._lock:
                self._running.pop(held.execution.token, None)

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        self.after_process_message(broker, message)

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        if isinstance(broker, SettlingBroker):
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(broker,), name="heartbeats", daemon=True)
            self._thread.start()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def run_once(self, broker: SettlingBroker) -> None:
        """Write what is pending of everything that runs. An outage is logged; the next round tries again."""
        with self._lock:
            running = list(self._running.values())
        for execution in running:
            try:
                reporter = Reporter.of(execution)
                if reporter is not None:
                    reporter.flush()
            except LeaseLost:
                execution.lost = True
                logger.warning("message %s is held by another worker now; its body stops soon", execution.message_id)
            except ServerUnavailable as error:
                logger.warning("message %s: heartbeat failed: %s", execution.message_id, error)

    def _run(self, broker: SettlingBroker) -> None:
        interval = max(broker.settings.progress_interval, 0.5)
        while not self._stop.wait(interval):
            try:
                self.run_once(broker)
            except Exception:
                logger.exception("heartbeats: unexpected error; going on")
