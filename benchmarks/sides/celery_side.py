"""Celery on Redis: a pool of threads, prefetch 64, early acknowledgement unless recovery is measured.

Runs in an environment of its own, which holds Celery and nothing of ours.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from celery import Celery, chain, chord

from benchmarks.spec import Spec

from .base import QUEUE, Bodies

PREFETCH = 64


class CelerySide:
    """Without gossip, mingle and heartbeat, as its documentation recommends for speed."""

    def __init__(self, spec: Spec, bodies: Bodies) -> None:
        url = spec.url.replace("unix://", "redis+socket://", 1)
        self.app: Any = Celery(spec.namespace, broker=url, backend=url if spec.results else "disabled://")
        self.app.conf.update(
            task_default_queue=f"{spec.namespace}.{QUEUE}",
            task_ignore_result=not spec.results,
            task_acks_late=spec.quick_recovery,
            worker_prefetch_multiplier=max(1, PREFETCH // spec.threads),
            worker_hijack_root_logger=False,
            worker_redirect_stdouts=False,
            broker_connection_retry_on_startup=True,
        )
        self.tasks: dict[str, Any] = {
            # A task of a bound method would be bound twice: Celery makes the function an attribute of a class.
            kind: self.app.task(name=kind)(_plain(body))
            for kind, body in (
                *(("noop", bodies.noop), ("io", bodies.io), ("hold", bodies.hold)),
                *(("hop", bodies.hop), ("gather", bodies.gather)),
            )
        }

    def start_worker(self, threads: int) -> None:
        self.app.finalize()
        self.app.set_default()  # for every thread, as its command line does
        controller = self.app.WorkController(
            pool="threads", concurrency=threads, without_gossip=True, without_mingle=True, without_heartbeat=True
        )
        threading.Thread(target=controller.start, name="celery", daemon=True).start()

    def send(self, kind: str, index: int) -> None:
        self.tasks[kind].apply_async((index,))

    def send_many(self, kind: str, indices: Sequence[int], delay: float | None) -> None:
        """One by one over one producer: there is no bulk call."""
        with self.app.producer_or_acquire() as producer:
            for index in indices:
                self.tasks[kind].apply_async((index,), countdown=delay, producer=producer)

    def send_delayed(self, kind: str, index: int, delay: float) -> None:
        self.tasks[kind].apply_async((index,), countdown=delay)

    def send_and_wait(self, kind: str, index: int, timeout: float) -> None:
        self.tasks[kind].apply_async((index,)).get(timeout=timeout)

    def run_chain(self, first: int, steps: int) -> None:
        hop = self.tasks["hop"]
        chain(hop.s(first), *(hop.s() for _ in range(steps - 1))).apply_async()

    def run_chord(self, first: int, members: int) -> None:
        header = [self.tasks["noop"].s(index) for index in range(first, first + members)]
        chord(header, self.tasks["gather"].s()).apply_async()

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("celery", "kombu", "redis")}


def _plain(body: Any) -> Any:
    def run(given: Any) -> int:
        result: int = body(given)
        return result

    return run


def open_side(spec: Spec, bodies: Bodies) -> CelerySide:
    """Make a Celery application in this process."""
    return CelerySide(spec, bodies)
