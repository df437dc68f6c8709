"""A stage for one test: a broker of its own that all declared actors stand on until the test is over."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import dramatiq
import dramatiq.broker
import freezegun.api

from understudy import clock
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.durations import to_millis
from understudy.isolation.pool import close_all
from understudy.runtime import build, installed
from understudy.storage.client import Storage, connect, in_memory

from .enqueued import Enqueued
from .faults import Faults, When

Kind = Literal["stub", "server"]


@contextmanager
def stage(kind: Kind, *, server_url: str | None, faults: Faults, enqueued: Enqueued) -> Iterator[RedisBroker]:
    """Put every actor of the installed broker on a fresh one with the same middleware, and back again.

    Args:
      kind: ``"stub"`` keeps everything in memory, ``"server"`` uses ``server_url``, in a namespace of its own.
    """
    base = installed()
    namespace = f"test-{uuid.uuid4().hex[:12]}"
    client = in_memory() if kind == "stub" else connect(server_url)
    # Only this thread works, so waiting for a result would be waiting for ever.
    storage = Storage(client, namespace=namespace, can_wait=False)
    settings = base.settings.model_copy(
        update={
            "broker_url": "stub://" if kind == "stub" else None,
            "redis_url": server_url,
            "namespace": namespace,
            "progress_interval": 0.0,
            # In the test's own thread, where its patches, fixtures and frozen time are.
            "isolation": "simulated",
        }
    )
    broker = build(settings, middleware=[*base.middleware, enqueued], storage=storage)
    broker.pause = faults.pause
    storage.interceptor = _Interceptor(storage, faults)
    actors = list(base.actors.values())
    _move(actors, broker)
    try:
        yield broker
    finally:
        close_all()
        # A module that was imported during the test has declared its actors here, and never will again.
        actors += [actor for name, actor in broker.actors.items() if name not in base.actors and _of_a_module(actor)]
        _move(actors, base)
        storage.interceptor = None
        _remove_keys(storage)
        storage.close()


def _move(actors: list[dramatiq.Actor[..., object]], broker: SettlingBroker) -> None:
    for actor in actors:
        actor.broker = broker
        broker.declare_actor(actor)
    dramatiq.set_broker(broker)


def _of_a_module(actor: dramatiq.Actor[..., object]) -> bool:
    return "<locals>" not in getattr(actor.fn, "__qualname__", "")


def _remove_keys(storage: Storage) -> None:
    names = list(storage.client.scan_iter(match=storage.keys.pattern(), count=1_000))
    for start in range(0, len(names), 500):
        storage.client.unlink(*names[start : start + 500])


class _Interceptor:
    """Keeps the server's time in step with frozen time, then lets the faults have their way."""

    def __init__(self, storage: Storage, faults: Faults) -> None:
        self._storage = storage
        self._faults = faults
        self._told: int | None = None

    def __call__(self, name: str, when: When) -> None:
        if when == "before":
            self._tell_time()
        self._faults.intercept(name, when)

    def _tell_time(self) -> None:
        frozen = to_millis(clock.now()) if freezegun.api.freeze_factories else None
        if frozen == self._told:
            return
        if frozen is None:
            self._storage.client.delete(self._storage.keys.clock)
        else:
            self._storage.client.set(self._storage.keys.clock, frozen)
        self._told = frozen
