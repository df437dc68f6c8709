"""Writes the progress that was throttled last, so that a bar never stands still at an old value.

One thread per worker process. ``run_once`` is its step; tests call the step.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from dramatiq import Broker, Middleware

from understudy.brokers.redis import RedisBroker
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.progress import Reporter

logger = logging.getLogger(__name__)


class Heartbeats(Middleware):
    """What runs is known to the broker: this has no hook around the body."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        if isinstance(broker, RedisBroker):
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(broker,), name="heartbeats", daemon=True)
            self._thread.start()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def run_once(self, broker: RedisBroker) -> None:
        """Write what is pending of everything that runs. An outage is logged; the next round tries again."""
        for held in list(broker.holds.values()):
            execution = held.execution
            if execution is None or held.ended or not execution.begun:
                continue
            try:
                reporter = Reporter.made(execution)
                if reporter is not None:
                    reporter.flush()
            except LeaseLost:
                execution.lost = True
                logger.warning("message %s is held by another worker now; its body stops soon", execution.message_id)
            except ServerUnavailable as error:
                logger.warning("message %s: heartbeat failed: %s", execution.message_id, error)

    def _run(self, broker: RedisBroker) -> None:
        interval = max(broker.settings.progress_interval, 0.5)
        while not self._stop.wait(interval):
            try:
                self.run_once(broker)
            except Exception:
                logger.exception("heartbeats: unexpected error; going on")
