from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from understudy.asynchronous import loop as module
from understudy.asynchronous.loop import LoopThread
from understudy.testing.conditions import wait_until


def test_it_runs_what_is_given_to_it_and_stops() -> None:
    thread = LoopThread()
    thread.finish()
    thread.begin()
    assert thread.daemon
    assert not thread.is_current
    found = asyncio.run_coroutine_threadsafe(_current(thread), thread.loop)
    assert found.result(10)
    thread.finish()
    assert not thread.is_alive()
    assert thread.loop.is_closed()


def test_bodies_that_call_what_blocks_have_many_threads_for_it() -> None:
    """asyncio's own number goes by the cores, and a thousand bodies share them."""
    thread = LoopThread()
    thread.begin()
    together = threading.Barrier(module.THREADS)

    async def wait_for_each_other() -> None:
        await asyncio.gather(*(asyncio.to_thread(together.wait, 20) for _ in range(module.THREADS)))

    asyncio.run_coroutine_threadsafe(wait_for_each_other(), thread.loop).result(20)
    thread.finish()
    wait_until(lambda: not any(one.name.startswith("blocking") for one in threading.enumerate()))


async def _current(thread: LoopThread) -> bool:
    return thread.is_current


def test_one_that_is_blocked_is_left_behind(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "SOON", 0.05)
    thread, blocked, go_on = LoopThread(), threading.Event(), threading.Event()
    thread.start(timeout=10)

    def block() -> None:
        blocked.set()
        go_on.wait(10)

    thread.loop.call_soon_threadsafe(block)
    assert blocked.wait(10)
    with caplog.at_level(logging.ERROR):
        thread.finish()
    assert "a body blocks it" in caplog.text
    go_on.set()
    thread.join(10)
