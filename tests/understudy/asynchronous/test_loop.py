from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from understudy.asynchronous import loop as module
from understudy.asynchronous.loop import LoopThread


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
