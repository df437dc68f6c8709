from __future__ import annotations

from typing import Any

import dramatiq
import pytest
from dramatiq.asyncio import get_event_loop_thread

from middleware.coroutines import Coroutines
from understudy import actor
from understudy.asynchronous.lane import Lines
from understudy.brokers.redis import RedisBroker


def booted(broker: RedisBroker) -> tuple[Coroutines, dramatiq.Worker]:
    """A worker that is about to boot, and never does."""
    worker = dramatiq.Worker(broker, worker_threads=1)
    found = Coroutines()
    found.before_worker_boot(broker, worker)
    return found, worker


def test_a_worker_without_async_actors_gets_nothing(broker: RedisBroker) -> None:
    for name, one in list(broker.actors.items()):
        if hasattr(one, "asend") and type(one).__name__ == "AsyncActor":
            del broker.actors[name]
    found, worker = booted(broker)
    assert not isinstance(worker.work_queue, Lines)
    assert get_event_loop_thread() is None
    found.before_worker_shutdown(broker, worker)
    found.after_worker_shutdown(broker, worker)


def test_a_worker_with_one_gets_a_loop_and_a_lane_until_it_ends(broker: RedisBroker) -> None:
    @actor
    async def body() -> None: ...

    found, worker = booted(broker)
    assert isinstance(worker.work_queue, Lines)
    assert broker.work is worker.work_queue
    loop = get_event_loop_thread()
    assert loop is not None
    found.before_worker_shutdown(broker, worker)
    found.after_worker_shutdown(broker, worker)
    assert get_event_loop_thread() is None
    assert not loop.is_alive()


@pytest.mark.brokers("stub")
def test_a_body_that_wants_a_process_of_its_own_takes_a_thread(broker: RedisBroker) -> None:
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})

    @actor(isolation="process")
    async def apart() -> None: ...

    @actor
    async def body() -> None: ...

    found, worker = booted(broker)
    try:
        assert isinstance(worker.work_queue, Lines)
        assert "body" in worker.work_queue._awaited
        assert "apart" not in worker.work_queue._awaited
    finally:
        found.after_worker_shutdown(broker, worker)


def test_whatever_is_no_worker_of_ours_is_left_alone(broker: RedisBroker) -> None:
    found = Coroutines()
    other: Any = object()
    found.before_worker_boot(broker, other)
    found.before_worker_boot(other, dramatiq.Worker(broker))
    found.after_worker_shutdown(broker, other)
    assert get_event_loop_thread() is None
