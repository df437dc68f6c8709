"""A reading in Prometheus's words, and the server that answers ``GET /metrics``.

Each answer tells of the whole system, whichever process gives it, so several that are scraped are not added up.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from understudy.errors import ServerUnavailable

from .reading import Reading

logger = logging.getLogger(__name__)

#: Seconds between two attempts to take the port, which another process of this worker may have.
INTERVAL = 1.0

#: Metric -> what it tells of a queue, and the attribute that says it.
_QUEUES = {
    "waiting": "Messages that may run and that no worker holds.",
    "held": "Messages that workers hold.",
    "delayed": "Messages that wait for their time, retries among them.",
    "dead": "Dead letters.",
}


class Readings(Collector):
    """Collects by reading, at every scrape. A server that does not answer is a metric too."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering it asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("understudy_server_up", "Whether the Redis server has answered.")
        try:
            reading = self._read()
        except ServerUnavailable as error:
            logger.warning("metrics: the server does not answer: %s", error)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from metrics(reading)


def metrics(reading: Reading) -> Iterator[Metric]:
    """A reading as metrics."""
    labels = ["actor", "queue", "outcome"]
    total = CounterMetricFamily("understudy_executions", "Executions whose outcome was committed.", labels=labels)
    took = HistogramMetricFamily("understudy_body_seconds", "How long bodies ran.", labels=labels)
    for one in reading.executions:
        names = [one.actor, one.queue, one.end]
        total.add_metric(names, one.count)
        if one.buckets:
            took.add_metric(names, [(_go(end), count) for end, count in one.cumulated()], one.seconds)
    yield total
    yield took
    for name, text in _QUEUES.items():
        family = GaugeMetricFamily(f"understudy_queue_{name}", text, labels=["queue"])
        for queue in reading.queues:
            family.add_metric([queue.name], getattr(queue, name))
        yield family
    oldest = GaugeMetricFamily(
        "understudy_queue_oldest_seconds", "For how long the message that waits longest has waited.", labels=["queue"]
    )
    for queue in reading.queues:
        oldest.add_metric([queue.name], queue.oldest or 0.0)
    yield oldest
    workers = GaugeMetricFamily("understudy_workers", "Worker processes that have a lease.")
    workers.add_metric([], reading.workers)
    yield workers


def _go(end: float) -> str:
    """The upper end of a bucket, as the format has it."""
    return "+Inf" if end == math.inf else str(end)


class Exporter:
    """Serves the metrics in this process, as soon as no other has the port: who has it may be killed at any time."""

    def __init__(self, read: Callable[[], Reading], *, host: str, port: int) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Readings(read))
        self._address = (host, port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Take the port, now or when it is free."""
        self._thread.start()

    def stop(self) -> None:
        """Let go of it."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        host, port = self._address
        told = False
        while not self._stop.is_set():
            try:
                server, _ = start_http_server(port, addr=host, registry=self._registry)
            except OSError as error:
                if not told:
                    logger.info("metrics: port %d is taken (%s); it is tried again", port, error.strerror)
                told = True
                self._stop.wait(INTERVAL)
                continue
            logger.info("metrics: http://%s:%d/metrics", host, port)
            self._stop.wait()
            server.shutdown()
            server.server_close()
