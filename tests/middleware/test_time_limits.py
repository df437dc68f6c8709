from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import dramatiq.middleware
import pytest
from freezegun.api import FrozenDateTimeFactory

from middleware.time_limits import SoftLimits, TimeLimits
from understudy import Retry, actor, each, handle, progress
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from understudy.execution import current
from understudy.testing.conditions import wait_until

Drain = Callable[..., int]


def of(broker: SettlingBroker) -> TimeLimits:
    (found,) = [part for part in broker.middleware if isinstance(part, TimeLimits)]
    return found


# -- measured: in unit tests ---------------------------------------------------------------------------------


def test_a_body_that_has_taken_too_long_fails(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor(time_limit=5, retry=Retry(2, backoff=0))
    def body(seconds: float) -> str:
        freezer.tick(seconds)
        return "done"

    late, in_time = body.send(6), body.send(4)
    drain()
    with pytest.raises(TimeLimitExceeded, match="time limit of 5 s"):
        handle(late).get()
    assert handle(late).retries == 0
    assert handle(in_time).get() == "done"


def test_it_is_stopped_where_it_looks_back(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    reached: list[object] = []

    @actor(time_limit=5)
    def reports() -> None:
        freezer.tick(6)
        progress.update(1, 2)
        reached.append("after the report")

    @actor(time_limit=5)
    def loops() -> None:
        for item in each([1, 2, 3], key=str):
            reached.append(item)
            freezer.tick(6)

    messages = [reports.send(), loops.send()]
    drain()
    assert reached == [1]
    assert [type(handle(message).result) for message in messages] == [TimeLimitExceeded] * 2


def test_a_soft_limit_is_measured_too_and_told_once(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    caught: list[str] = []

    @actor(time_limit=20, soft_time_limit=5)
    def body(catch: bool) -> str:
        freezer.tick(6)
        try:
            progress.update(1)
        except SoftTimeLimitExceeded:
            if not catch:
                raise
            caught.append("once")
        progress.update(2)
        return "done"

    failed, done = body.send(False), body.send(True)
    drain()
    assert isinstance(handle(failed).result, SoftTimeLimitExceeded)
    assert handle(done).get() == "done"
    assert caught == ["once"]


def test_a_failure_in_time_is_that_failure(drain: Drain) -> None:
    @actor(time_limit=5)
    def body() -> None:
        raise ValueError("x")

    message = body.send()
    drain()
    assert isinstance(handle(message).result, ValueError)


def test_a_body_that_calls_its_own_actor_calls_a_function(drain: Drain) -> None:
    @actor(time_limit=5)
    def factorial(n: int) -> int:
        return 1 if n == 0 else n * factorial(n - 1)

    message = factorial.send(5)
    drain()
    assert handle(message).get() == 120


# -- in threads: best effort ---------------------------------------------------------------------------------


@pytest.fixture
def clocks(broker: SettlingBroker) -> Iterator[TimeLimits]:
    """The middleware of a broker whose bodies run in threads, with its clocks going."""
    broker.settings = broker.settings.model_copy(update={"isolation": "thread"})
    limits = of(broker)
    limits.before_worker_boot(broker, None)
    yield limits
    limits.after_worker_shutdown(broker, None)


def _spin() -> None:
    """Work in pieces: a thread is interrupted between two instructions only, so one long wait would not do."""
    for _ in range(2_000):
        time.sleep(0.01)


def test_t14_a_thread_is_interrupted_between_two_instructions(clocks: TimeLimits, drain: Drain) -> None:
    seen: list[object] = []

    @actor(time_limit=0.2, isolation="thread")
    def hard() -> None:
        seen.append(threading.current_thread())
        _spin()

    @actor(time_limit=20, soft_time_limit=0.2, isolation="thread")
    def soft() -> str:
        try:
            _spin()
        except SoftTimeLimitExceeded:
            return "caught"
        return "not interrupted"

    messages = hard.send(), soft.send()
    drain()
    assert seen == [threading.current_thread()]
    assert isinstance(handle(messages[0]).result, TimeLimitExceeded)
    assert handle(messages[1]).get() == "caught"


def test_what_is_raised_in_a_thread_is_not_caught_by_accident(clocks: TimeLimits, drain: Drain) -> None:
    caught: list[str] = []

    @actor(time_limit=0.2, isolation="thread")
    def body() -> None:
        try:
            _spin()
        except Exception as error:  # noqa: BLE001 - as a careless body does
            caught.append(type(error).__name__)

    message = body.send()
    drain()
    assert caught == []
    assert handle(message).status == "FAILURE"
    assert not issubclass(dramatiq.middleware.TimeLimitExceeded, Exception)


def test_t16_a_body_in_a_thread_sees_its_limits_too(clocks: TimeLimits, drain: Drain) -> None:
    @actor(isolation="thread", time_limit=20)
    def body() -> list[float | None]:
        execution = current()
        assert execution is not None
        return [execution.time_limit, execution.soft_time_limit]

    first = body.send()
    second = body.send_with_options(time_limit=9_000, soft_time_limit=8_000)
    drain()
    assert handle(first).get() == [20.0, None]
    assert handle(second).get() == [9.0, 8.0]


def test_a_soft_limit_is_raised_once_and_not_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr("middleware.time_limits.raise_thread_exception", lambda thread, kind: raised.append(thread))
    limits = SoftLimits()
    limits.add(1, 0)
    limits.add(2, 3_600)
    limits.add(3, 0)
    limits.remove(3)
    limits.remove(99)
    limits.run_once()
    limits.run_once()
    assert raised == [1]


def test_its_thread_repeats_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr("middleware.time_limits.raise_thread_exception", lambda thread, kind: raised.append(thread))
    limits = SoftLimits()
    limits.start()
    limits.add(1, 0)
    wait_until(lambda: raised == [1], timeout=10)
