"""Dramatiq's own pipelines keep its order, and a failed message stops what comes after it (P8)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import SkipMessage

from understudy import Retry, actor, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.deadletters import DeadLetters
from understudy.testing.faults import Faults

from .helpers import SOON, put, working

Drain = Callable[..., int]


@pytest.fixture
def fails() -> list[bool]:
    return [True]


@pytest.fixture
def sub(broker: RedisBroker, fails: list[bool]) -> Actor[..., int]:
    @actor
    def sub(a: int, b: int = 0) -> int:
        if a < 0 and fails[0]:
            raise ValueError("negative")
        return a - b

    return sub


def run(pipeline: Any) -> Any:
    return pipeline.run()


def states(pipeline: Any) -> list[str]:
    return [handle(message).status.value for message in pipeline.messages]


def test_the_result_is_the_last_argument(broker: RedisBroker, drain: Drain, sub: Actor[..., int]) -> None:
    found = run(sub.message(20, 5) | sub.message(3))
    drain()
    assert found.get_result() == -12  # Celery's chain gives 12 (C01)


def test_the_later_messages_have_ended_with_the_one_that_failed(
    broker: RedisBroker, drain: Drain, sub: Actor[..., int]
) -> None:
    found = run(sub.message(-1) | sub.message(3) | sub.message(4))
    assert drain() == 1
    assert states(found) == ["FAILURE"] * 3
    last = handle(found.messages[-1])
    assert "ValueError" in (last.traceback or "")
    with pytest.raises(ValueError, match="negative"):
        last.get()
    with pytest.raises(dramatiq.results.ResultFailure):
        found.get_result()


def test_a_retry_stops_nothing(broker: RedisBroker, drain: Drain, fails: list[bool], freezer: Any) -> None:
    @actor(retry=Retry(1, backoff=1, jitter="none"))
    def retried(value: int = 0) -> int:
        if fails[0]:
            raise ValueError
        return 7

    found = run(retried.message() | retried.message())
    drain()
    assert states(found) == ["RETRY", "PENDING"]
    fails[0] = False
    freezer.tick(5)
    drain()
    assert states(found) == ["SUCCESS", "SUCCESS"]


def test_a_requeued_dead_letter_takes_the_later_ones_along(
    broker: RedisBroker, drain: Drain, sub: Actor[..., int], fails: list[bool]
) -> None:
    found = run(sub.message(-1) | sub.message(3))
    drain()
    fails[0] = False
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    assert letters.requeue(letter) == "requeued"
    assert states(found) == ["PENDING", "PENDING"]
    drain()
    assert (states(found), found.get_result()) == (["SUCCESS", "SUCCESS"], 4)


def test_a_skipped_message_and_one_that_cannot_be_read_stop_them_too(
    broker: RedisBroker, drain: Drain, sub: Actor[..., int]
) -> None:
    @actor
    def skips() -> None:
        raise SkipMessage

    found = run(skips.message() | sub.message(3))
    drain()
    assert states(found) == ["SUCCESS", "REVOKED"]
    put(broker, b'{"message_id": "a", "options": {"pipe_target": {"message_id": "b", "options": {}}}}')
    drain()
    assert [handle(id).status.value for id in ("a", "b")] == ["FAILURE", "FAILURE"]


def test_a_zombie_that_fails_stops_nothing(
    broker: RedisBroker, drain: Drain, sub: Actor[..., int], faults: Faults, freezer: Any, fails: list[bool]
) -> None:
    first = sub.message(-1)
    found = dramatiq.pipeline([first, sub.message(3)])
    fails[0] = False
    run(found)
    broker.enqueue(found.messages[0])
    assert drain(limit=10) >= 3
    fails[0] = True
    broker.enqueue(found.messages[0])
    drain()
    assert states(found) == ["SUCCESS", "SUCCESS"]


@pytest.mark.brokers("server")
def test_whoever_waits_for_the_last_one_is_told(broker: RedisBroker, sub: Actor[..., int]) -> None:
    found = run(sub.message(-1) | sub.message(3))
    told: list[Any] = []

    def wait() -> None:
        told.append(handle(found.messages[-1]).get(timeout=SOON, propagate=False))

    waiter = threading.Thread(target=wait)
    with working(broker):
        waiter.start()
        waiter.join(SOON)
    assert [str(error) for error in told] == ["negative"]
