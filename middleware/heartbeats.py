"""Keeps alive what running bodies hold: renews the leases of their claims, writes throttled progress.

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
        """Renew and flush once for everything that runs. An outage is logged; the next round tries again."""
        with self._lock:
            running = list(self._running.values())
        lease = broker.settings.heartbeat_timeout
        for execution in running:
            try:
                if execution.claim_key is not None and not broker.records.renew(
                    execution.claim_key, token=execution.token, lease=lease
                ):
                    execution.lost = True
                    if execution.token in self._running:  # else it has just ended, and its claim with it
                        logger.warning("message %s: its claim belongs to another delivery now", execution.message_id)
                reporter = Reporter.of(execution)
                if reporter is not None:
                    reporter.flush()
            except (ServerUnavailable, LeaseLost) as error:
                logger.warning("message %s: heartbeat failed: %s", execution.message_id, error)

    def _run(self, broker: SettlingBroker) -> None:
        interval = min(broker.settings.heartbeat_timeout / 3, 1.0)
        while not self._stop.wait(interval):
            try:
                self.run_once(broker)
            except Exception:
                logger.exception("heartbeats: unexpected error; going on")
