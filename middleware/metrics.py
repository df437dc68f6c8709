"""Serves the numbers of the system for Prometheus, from the worker, if a port is set (``UNDERSTUDY_METRICS_PORT``).

What is counted is counted on the server, with each outcome (``understudy/brokers/tally.py``); this only shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from dramatiq import Broker, Middleware

from understudy.brokers.settlement import SettlingBroker
from understudy.brokers.tally import BUCKETS
from understudy.errors import SettingsError
from understudy.metrics.reading import read
from understudy.settings import Settings


class Metrics(Middleware):
    """No per-message hooks.

    Args:
      buckets: seconds, the upper ends of the buckets by which durations are counted. They may change from one version
        to the next: what was counted stays where it was.

    Raises:
      SettingsError: a port is set, and Prometheus's client is not installed.
    """

    def __init__(self, settings: Settings, buckets: Sequence[float] = BUCKETS) -> None:
        if settings.metrics_port is not None and find_spec("prometheus_client") is None:
            raise SettingsError(
                ["UNDERSTUDY_METRICS_PORT needs Prometheus's client: pip install 'understudy[metrics]'"]
            )
        self._settings = settings
        self.buckets = tuple(sorted(buckets))
        self._exporter: Any = None

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        if isinstance(broker, SettlingBroker):
            broker.buckets = self.buckets

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        port = self._settings.metrics_port
        if port is None or not isinstance(broker, SettlingBroker):
            return
        # Here, because who serves no metrics need not have Prometheus's client installed.
        from understudy.metrics.exposition import Exporter

        storage = broker.storage
        self._exporter = Exporter(lambda: read(storage), host=self._settings.metrics_host, port=port)
        self._exporter.start()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        if self._exporter is not None:
            self._exporter.stop()
            self._exporter = None
