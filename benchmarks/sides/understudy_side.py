"""Understudy with its whole stack of middleware, as a worker of the product runs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

import dramatiq
from dramatiq import Message

import understudy
from benchmarks.spec import Spec
from middleware.stack import stack
from understudy import ConcurrencyLimit, Idempotency, RateLimit, chain, chord, progress
from understudy.durations import to_millis
from understudy.runtime import install
from understudy.settings import Settings, load
from understudy.supervisor.boot import freeze

from .base import QUEUE, Bodies

#: Messages that are built before they are handed over: a sender's memory stays small.
CHUNK = 5_000


class UnderstudySide:
    """Kinds beyond the common ones: ``bare`` (a no-op that keeps no result and does not show STARTED), ``guarded`` (a
    no-op that claims a key of its own and reports progress), ``limited`` (``bare`` under limits
    that it never reaches), ``isolated`` (a no-op in a process of its own)."""

    def __init__(self, spec: Spec, bodies: Bodies) -> None:
        settings = load(Settings, environ={**os.environ, "REDIS_URL": spec.url, "UNDERSTUDY_NAMESPACE": spec.namespace})
        self.broker = install(settings, middleware=stack(settings))

        def guarded(index: int) -> int:
            progress.update(1, 1)
            return bodies.noop(index)

        bare: dict[str, Any] = {"ignore_result": True, "track_started": False}
        claimed: dict[str, Any] = {"idempotency": Idempotency(key="{index}")}
        limited: dict[str, Any] = {
            "rate_limit": RateLimit(100_000, per=1, burst=100_000),
            "concurrency_limit": ConcurrencyLimit(1_000),
        }
        kinds: dict[str, tuple[Any, dict[str, Any]]] = {
            "noop": (bodies.noop, {}),
            "io": (bodies.io, {}),
            "hold": (bodies.hold, {}),
            "hop": (bodies.hop, {}),
            "gather": (bodies.gather, {}),
            "bare": (bodies.noop, bare),
            "guarded": (guarded, claimed),
            "limited": (bodies.noop, {**bare, **limited}),
        }
        self.actors = {
            kind: understudy.actor(actor_name=kind, queue_name=QUEUE, broker=self.broker, **options)(body)
            for kind, (body, options) in kinds.items()
        }
        # It is declared on the broker that was installed above.
        self.actors["isolated"] = import_module("benchmarks.sides.isolated").isolated

    def start_worker(self, threads: int) -> None:
        freeze()  # as every process of `understudy worker` does before it starts
        dramatiq.Worker(self.broker, worker_threads=threads).start()

    def send(self, kind: str, index: int) -> None:
        self.actors[kind].send(index)

    def send_many(self, kind: str, indices: Sequence[int], delay: float | None) -> None:
        for start in range(0, len(indices), CHUNK):
            self._hand_over([self.actors[kind].message(index) for index in indices[start : start + CHUNK]], delay)

    def send_delayed(self, kind: str, index: int, delay: float) -> None:
        self.actors[kind].send_with_options(args=(index,), delay=to_millis(delay))

    def send_and_wait(self, kind: str, index: int, timeout: float) -> None:
        understudy.handle(self.actors[kind].send(index)).get(timeout=timeout)

    def run_chain(self, first: int, steps: int) -> None:
        hop = self.actors["hop"]
        chain(hop.message(first), *(hop.message() for _ in range(steps - 1))).run()

    def run_chord(self, first: int, members: int) -> None:
        header = [self.actors["noop"].message(index) for index in range(first, first + members)]
        chord(header, self.actors["gather"].message()).run()

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("understudy", "dramatiq", "redis")}

    def _hand_over(self, messages: list[Message[Any]], delay: float | None) -> None:
        transmit_many = getattr(self.broker, "transmit_many", None)
        if transmit_many is not None:
            transmit_many([(message, delay) for message in messages])
            return
        for message in messages:
            self.broker.enqueue(message, delay=None if delay is None else to_millis(delay))


def open_side(spec: Spec, bodies: Bodies) -> UnderstudySide:
    """Install Understudy in this process."""
    return UnderstudySide(spec, bodies)
