from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from understudy import actor, handle
from understudy.asking import Asking, asks_by
from understudy.asynchronous.reporting import AsideReporter
from understudy.brokers.redis import RedisBroker
from understudy.errors import LeaseLost
from understudy.execution import Execution, current
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults

Drain = Callable[..., int]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as found:
        yield found


@pytest.fixture
def body(drain: Drain, pool: ThreadPoolExecutor, broker: RedisBroker) -> Callable[..., Any]:
    """Runs ``scene`` as a body would run on the shared loop; the message is its result."""

    def run(scene: Callable[[AsideReporter, Execution], Any], interval: float = 0.0) -> Any:
        @actor(actor_name=f"a{len(broker.actors)}")
        def acts() -> None:
            execution = current()
            assert execution is not None
            reporter = AsideReporter(execution, interval=interval)
            execution.contributors[:] = [reporter]
            context = copy_context()
            context.run(asks_by, Asking(pool))
            context.run(scene, reporter, execution)

        message = acts.send()
        drain()
        return handle(message)

    return run


def test_an_update_does_not_wait_for_the_server(body: Callable[..., Any], broker: RedisBroker) -> None:
    asked, answer = threading.Event(), threading.Event()
    intercept = broker.storage.interceptor
    assert intercept is not None

    def slowly(name: str, when: Any) -> None:
        if (name, when) == ("progress", "before"):
            asked.set()
            assert answer.wait(10)
        intercept(name, when)

    def scene(reporter: AsideReporter, execution: Execution) -> None:
        reporter.update(1, 10)
        assert asked.wait(10)
        reporter.update(2, 10)
        reporter.advance(3)
        answer.set()

    broker.storage.interceptor = slowly
    assert body(scene).progress == {"current": 5, "total": 10}


def test_it_is_written_by_a_thread_before_the_end(body: Callable[..., Any]) -> None:
    def scene(reporter: AsideReporter, execution: Execution) -> None:
        reporter.update(1, 10)
        wait_until(lambda: handle(execution.message_id).progress == {"current": 1, "total": 10})

    body(scene)


def test_throttled_values_are_one_write_with_the_outcome(body: Callable[..., Any], faults: Faults) -> None:
    def scene(reporter: AsideReporter, execution: Execution) -> None:
        for number in range(50):
            reporter.update(number, 50)

    assert body(scene, 3_600.0).progress == {"current": 49, "total": 50}
    assert faults.exchanges.count("progress") <= 1


def test_an_advance_goes_on_from_where_an_earlier_execution_came_to(body: Callable[..., Any]) -> None:
    def scene(reporter: AsideReporter, execution: Execution) -> None:
        reporter._shown = lambda: {"current": 40, "total": 50}  # type: ignore[method-assign]
        reporter.advance(1)
        reporter.advance(2)

    assert body(scene).progress == {"current": 43, "total": 50}


def test_an_update_says_what_it_says(body: Callable[..., Any]) -> None:
    def scene(reporter: AsideReporter, execution: Execution) -> None:
        reporter._catch_up = lambda: None  # type: ignore[method-assign]
        reporter.advance(5)
        reporter.update(0, 10)

    assert body(scene, 3_600.0).progress == {"current": 0, "total": 10}


def test_a_write_that_fails_is_kept(body: Callable[..., Any], faults: Faults) -> None:
    def scene(reporter: AsideReporter, execution: Execution) -> None:
        faults.fail("progress")
        reporter.update(1, 10)
        wait_until(lambda: not faults.planned)

    assert body(scene).progress == {"current": 1, "total": 10}


def test_a_lost_lease_is_learned_by_the_next_call(body: Callable[..., Any]) -> None:
    def scene(reporter: AsideReporter, execution: Execution) -> None:
        reporter._send = lambda data: False  # type: ignore[method-assign]
        reporter.update(1, 10)
        wait_until(lambda: execution.lost)
        with pytest.raises(LeaseLost):
            reporter.update(2, 10)
        with pytest.raises(LeaseLost):
            reporter.advance(1)
        execution.lost = False

    body(scene)
