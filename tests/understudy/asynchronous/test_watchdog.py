from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from understudy import clock
from understudy.asking import Asking, asks_by
from understudy.asynchronous.body import Body
from understudy.asynchronous.loop import LoopThread
from understudy.asynchronous.watchdog import Watchdog
from understudy.testing.conditions import wait_until


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    thread.begin()
    yield thread
    thread.finish()


def test_it_names_who_blocks_the_loop_and_where_once_and_again_when_the_time_has_doubled(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    blocked, go_on = threading.Event(), threading.Event()

    async def culprit() -> None:
        blocked.set()
        go_on.wait(10)

    async def neighbour() -> None:
        await asyncio.Event().wait()

    bodies = [Body(one(), None, None, Asking(None), lambda body: None) for one in (neighbour, culprit)]
    bodies[1].name = "culprit[1]"
    for body in bodies:
        loop.loop.call_soon_threadsafe(body.start, copy_context())
    assert blocked.wait(10)
    watchdog = Watchdog(loop.loop, lambda: loop.ident, lambda: bodies)
    with caplog.at_level(logging.WARNING):
        for seconds in (0, 0.9, 0.2, 0.2, 0.9, 2.0):
            now[0] += seconds
            watchdog.run_once()
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert "blocked for 1.1 s by culprit[1], and 1 other bodies" in said[0]
    assert ", in culprit" in said[0]
    assert "go_on.wait(10)" in said[0]
    assert "blocked for 2.2 s" in said[1]
    assert "blocked for 4.2 s" in said[2]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        go_on.set()
        wait_until(lambda: "goes on after 4.2 s" in caplog.text)
    loop.loop.call_soon_threadsafe(bodies[0].steered.abandon)


def test_of_a_task_that_a_body_has_started_it_says_whose_it_is(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    blocked, go_on = threading.Event(), threading.Event()

    async def child() -> None:
        blocked.set()
        go_on.wait(10)

    async def parent() -> None:
        await asyncio.create_task(child(), name="mail to ada")

    asking, context = Asking(None), copy_context()
    context.run(asks_by, asking)
    body = Body(parent(), None, None, asking, lambda body: None)
    body.name = "parent[id-1]"
    loop.loop.call_soon_threadsafe(body.start, context)
    assert blocked.wait(10)
    watchdog = Watchdog(loop.loop, lambda: loop.ident, lambda: [body])
    with caplog.at_level(logging.WARNING):
        for seconds in (0, 1.5):
            now[0] += seconds
            watchdog.run_once()
    assert "blocked for 1.5 s by a task of parent[id-1], and 1 other bodies" in caplog.text
    go_on.set()


def test_a_loop_that_answers_is_no_news(loop: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    watchdog = Watchdog(loop.loop, lambda: loop.ident, list)
    for _ in range(3):
        watchdog.run_once()
        wait_until(lambda: watchdog._asked_at is None)
    assert not caplog.records


def test_one_that_is_closed_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    Watchdog(loop, lambda: None, list).run_once()
