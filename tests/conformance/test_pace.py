"""Groups L and P: rate limits, and how many messages a worker takes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import pending, working
from understudy import RateLimit, actor, clock, handle
from understudy.brokers.redis import RedisBroker
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

from .behaviours import Outcome, behaviour

Drain = Callable[..., int]


@behaviour("L01")
def test_l01_a_rate_limit_spaces_bodies_evenly(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, faults: Faults, outcome: Outcome
) -> None:
    times: list[float] = []

    @actor(rate_limit=RateLimit(2, per=1))
    def body() -> None:
        times.append(clock.now())

    workers = [StepWorker(broker, faults) for _ in range(2)]
    sent = [handle(body.send()) for _ in range(6)]
    delayed = broker.keys_of("default").delayed
    waits: set[str] = set()
    while len(times) < 6:
        for worker in workers:
            worker.drain()
        waits.add("in the worker" if broker.holds else "on the server")
        first = broker.storage.client.zrange(delayed, 0, 0, withscores=True)
        if first:
            freezer.move_to(datetime.fromtimestamp(first[0][1] / 1_000, UTC))  # type: ignore[operator]
    gaps = [round(after - before, 2) for before, after in itertools.pairwise(times)]
    outcome(gaps=gaps, runs=len(times), retries=max(one.retries for one in sent), waits=waits.pop())
    outcome(kept_by="all workers together" if min(gaps) >= 0.49 else "each worker for itself")
    assert not waits


def held_by_a_worker(broker: RedisBroker, outcome: Outcome, prefetch: int) -> None:
    """Send eight messages to one thread, and see where they are."""
    gate = threading.Event()
    began: list[int] = []

    @actor
    def body(number: int) -> None:
        began.append(number)
        gate.wait(20)

    broker.settings = broker.settings.model_copy(update={"prefetch": (("", prefetch),)})
    sent = [handle(body.send(number)) for number in range(8)]
    stream = broker.keys_of("default").streams[1]
    with working(broker, threads=1):
        wait_until(lambda: began and pending(broker.storage, stream) == 1 + prefetch, what="it has taken what it takes")
        held = pending(broker.storage, stream)
        outcome(active=len(began), reserved=held - len(began), left_in_queue=8 - held)
        gate.set()
        wait_until(lambda: all(one.ready() for one in sent), what="all have run")


@pytest.mark.brokers("server")
@behaviour("P01")
def test_p01_a_worker_takes_as_many_more_as_it_may(broker: RedisBroker, outcome: Outcome) -> None:
    held_by_a_worker(broker, outcome, prefetch=4)


@pytest.mark.brokers("server")
@behaviour("P02")
def test_p02_a_prefetch_of_nought_takes_no_more_than_runs(broker: RedisBroker, outcome: Outcome) -> None:
    held_by_a_worker(broker, outcome, prefetch=0)
