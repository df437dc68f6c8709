"""Stock Dramatiq: its Redis broker, its default middleware, its result backend when results are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend as Counters
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.spec import Spec

from .base import QUEUE, Bodies


class StockSide:
    """Its worker's prefetch is the environment variable ``dramatiq_queue_prefetch``, as documented."""

    def __init__(self, spec: Spec, bodies: Bodies) -> None:
        tuned: dict[str, Any] = {"heartbeat_timeout": 5_000, "maintenance_chance": 1_000_000}
        self.broker = RedisBroker(  # type: ignore[no-untyped-call]
            url=spec.url, namespace=spec.namespace, **(tuned if spec.quick_recovery else {})
        )
        if spec.results:
            backend = RedisBackend(url=spec.url, namespace=f"{spec.namespace}-results")
            self.broker.add_middleware(Results(backend=backend, store_results=True))  # type: ignore[no-untyped-call]
            # What counts the members of its groups; without it there is no callback.
            self.broker.add_middleware(GroupCallbacks(Counters(url=spec.url)))
        dramatiq.set_broker(self.broker)
        self.actors = {
            kind: dramatiq.actor(actor_name=kind, queue_name=QUEUE, broker=self.broker)(
                body if spec.results else _without_result(body)
            )
            for kind, body in (("noop", bodies.noop), ("io", bodies.io), ("hold", bodies.hold), ("hop", bodies.hop))
        }

    def start_worker(self, threads: int) -> None:
        dramatiq.Worker(self.broker, worker_threads=threads).start()

    def send(self, kind: str, index: int) -> None:
        self.actors[kind].send(index)

    def send_many(self, kind: str, indices: Sequence[int], delay: float | None) -> None:
        """One by one: there is no bulk call."""
        for index in indices:
            self.send(kind, index) if delay is None else self.send_delayed(kind, index, delay)

    def send_delayed(self, kind: str, index: int, delay: float) -> None:
        self.actors[kind].send_with_options(args=(index,), delay=round(delay * 1000))

    def send_and_wait(self, kind: str, index: int, timeout: float) -> None:
        # Below the 5 s after which redis-py gives up a socket: longer blocking reads break.
        self.actors[kind].send(index).get_result(block=True, timeout=round(min(timeout, 4.0) * 1000))

    def run_chain(self, first: int, steps: int) -> None:
        hop = self.actors["hop"]
        pipeline: Any = dramatiq.pipeline
        pipeline([hop.message(first), *(hop.message() for _ in range(steps - 1))]).run()  # type: ignore[call-arg]

    def run_chord(self, first: int, members: int) -> None:
        """A callback of a group gets no results; so it is told its index."""
        noop = self.actors["noop"]
        group: Any = dramatiq.group
        whole = group(noop.message(index) for index in range(first, first + members))
        whole.add_completion_callback(noop.message(first + members))
        whole.run()

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("dramatiq", "redis")}


def _without_result(body: Callable[[int], int]) -> Callable[[int], None]:
    """It logs a warning for every result that it has no backend for, which would be measured along with the rest."""

    def run(index: int) -> None:
        body(index)

    return run


def open_side(spec: Spec, bodies: Bodies) -> StockSide:
    """Make Dramatiq's broker in this process."""
    return StockSide(spec, bodies)
