"""Async bodies under Dramatiq's own worker, with its threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import dramatiq
import pytest
from dramatiq import Middleware

from middleware.termination import Termination
from tests.understudy.brokers.helpers import working
from understudy import actor, handle
from understudy.asynchronous import crew as module
from understudy.asynchronous.lane import Lines
from understudy.brokers.redis import RedisBroker
from understudy.testing.conditions import wait_until

pytestmark = pytest.mark.brokers("server")


@pytest.fixture(autouse=True)
def threads(broker: RedisBroker) -> None:
    """As in a worker, where limits are kept and not measured."""
    broker.settings = broker.settings.model_copy(update={"isolation": "thread", "shutdown_timeout": 0.2})
    broker.grace = 0.2


def test_more_bodies_than_threads_run_at_once_and_threads_serve_the_others(broker: RedisBroker) -> None:
    here: set[int] = set()
    go_on = threading.Event()

    @actor
    async def waits(number: int) -> int:
        here.add(number)
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return number

    @actor
    def neighbour() -> str:
        wait_until(lambda: len(here) == 40)
        go_on.set()
        return threading.current_thread().name

    messages = [waits.send(number) for number in range(40)]
    served = neighbour.send()
    with working(broker) as worker:
        assert isinstance(worker.work_queue, Lines)
        assert [handle(message).get(timeout=20) for message in messages] == list(range(40))
        assert handle(served).get(timeout=20) != "event loop"
        worker.join()
        assert broker.has_idle_threads()
    assert threading.active_count() < 20


def test_bodies_on_the_loop_do_not_make_the_threads_busy(broker: RedisBroker) -> None:
    go_on = threading.Event()
    began: list[int] = []

    @actor
    async def waits() -> None:
        began.append(1)
        while not go_on.is_set():
            await asyncio.sleep(0.01)

    messages = [waits.send() for _ in range(5)]
    with working(broker):
        wait_until(lambda: len(began) == 5)
        assert broker._gate.inside == 5
        assert broker.has_idle_threads()
        assert broker.begin_soon("default") >= broker.threads
        go_on.set()
        for message in messages:
            handle(message).get(timeout=20)


def test_p11_when_the_worker_stops_bodies_have_their_time_and_then_go_back(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture
) -> None:
    began: list[str] = []
    ended: list[str] = []

    @actor
    async def waits(name: str, seconds: float) -> None:
        began.append(name)
        try:
            while seconds > 0 and not (name == "soon" and broker.stopping.is_set()):
                await asyncio.sleep(0.01)
        finally:
            ended.append(name)

    soon, late = waits.send("soon", 30), waits.send("late", 30)
    with working(broker), caplog.at_level(logging.WARNING):
        wait_until(lambda: len(began) == 2)
    assert ended == ["soon", "late"]
    assert "1 async bodies were still running" in caplog.text
    assert handle(soon).status == "SUCCESS"
    assert (handle(late).status, handle(late).retries, broker.size("default")) == ("STARTED", 0, 1)


def test_p11_one_that_is_let_in_after_the_others_were_cut_off_goes_back_too(broker: RedisBroker) -> None:
    """A suspect waits for the others to end, and they do when they are cut off: that is no time to begin."""
    began: list[str] = []
    first_ended, second_waits = threading.Event(), threading.Event()

    class Guard(Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            if message.args == ("second",):
                second_waits.set()
                assert first_ended.wait(20)

    @actor
    async def waits(name: str) -> None:
        began.append(name)
        try:
            await asyncio.sleep(30)
        finally:
            first_ended.set()

    broker.add_middleware(Guard())
    messages = [waits.send(name) for name in ("first", "second")]
    with working(broker):
        wait_until(lambda: began and second_waits.is_set())
    assert began == ["first"]
    assert broker.size("default") == 2
    assert [handle(message).retries for message in messages] == [0, 0]
    assert not broker.holds


def test_as_long_as_bodies_that_were_cut_off_are_settled_the_worker_waits(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand outcomes take their time, and who has ended is not to be blamed for the end of the worker."""
    monkeypatch.setattr(module, "CUT_OFF", 0.3)
    began: list[int] = []

    class Slow(Middleware):
        def after_process_message(self, broker: Any, message: Any, **kwargs: Any) -> None:
            threading.Event().wait(0.1)

    @actor
    async def waits(number: int) -> None:
        began.append(number)
        await asyncio.sleep(30)

    broker.add_middleware(Slow())
    for number in range(20):
        waits.send(number)
    with working(broker), caplog.at_level(logging.ERROR):
        wait_until(lambda: len(began) == 20)
    assert "do not end" not in caplog.text
    assert (broker.size("default"), len(broker.holds)) == (20, 0)


def test_whoever_runs_the_worker_may_end_the_time_before(broker: RedisBroker) -> None:
    began = threading.Event()

    @actor
    async def waits() -> None:
        began.set()
        await asyncio.sleep(30)

    waits.send()
    with working(broker):
        assert began.wait(20)
        broker.grace = 3_600.0
        threading.Timer(0.1, broker.grace_over.set).start()
    assert broker.size("default") == 1


def test_a_body_that_blocks_the_loop_does_not_keep_the_worker(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CUT_OFF", 0.1)
    monkeypatch.setattr("understudy.asynchronous.loop.SOON", 0.1)
    began, go_on = threading.Event(), threading.Event()

    @actor
    async def blocks() -> None:
        began.set()
        go_on.wait(20)

    blocks.send()
    with working(broker), caplog.at_level(logging.ERROR):
        assert began.wait(20)
    assert "1 async bodies do not end" in caplog.text
    assert "a body blocks it" in caplog.text
    go_on.set()
    wait_until(lambda: not any(thread.name == "event loop" for thread in threading.enumerate()))
    # The process would have ended by now; here the middleware goes on to the next test.
    next(part for part in broker.middleware if isinstance(part, Termination))._bodies.clear()


def test_an_actor_declared_with_dramatiqs_decorator_finds_the_loop(broker: RedisBroker) -> None:
    seen: list[Any] = []

    async def body() -> None:
        await asyncio.sleep(0)
        seen.append(threading.current_thread().name)

    declare: Any = dramatiq.actor
    declare(body, broker=broker, actor_name="plain").send()
    with working(broker):
        wait_until(lambda: seen)
    assert seen == ["event loop"]
