"""How a scheduler sleeps, and what wakes it: real threads, real signals, a real server."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from tests.understudy.brokers.servers import real_server
from understudy import clock
from understudy.runtime import build_storage
from understudy.scheduler.wake import Listener, Waker
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

LONG = 60.0


def test_it_sleeps_as_long_as_it_was_told() -> None:
    waker = Waker()
    began = clock.monotonic()
    assert not waker.wait(0.05)
    assert clock.monotonic() - began >= 0.049
    assert not waker.wait(-1)
    waker.close()
    waker.wake()  # nobody waits any more, and nobody minds


def test_it_is_woken_before_and_while_it_sleeps_and_once() -> None:
    waker = Waker()
    waker.wake()
    waker.wake()
    assert waker.wait(LONG)
    assert not waker.wait(0)
    threading.Timer(0.02, waker.wake).start()
    assert waker.wait(LONG)
    waker.close()


def test_a_signal_handler_may_wake_it_in_the_middle_of_its_sleep() -> None:
    waker = Waker()
    before = signal.signal(signal.SIGUSR1, lambda *_: waker.wake())
    try:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert waker.wait(LONG)
    finally:
        signal.signal(signal.SIGUSR1, before)
        waker.close()


def test_what_is_said_on_the_channel_wakes_also_after_the_server_was_away(tmp_path: Path) -> None:
    waker = Waker()
    with real_server(tmp_path) as server:
        storage = build_storage(load(Settings, environ={"REDIS_URL": server.url}))
        with Listener(storage, waker):
            assert waker.wait(LONG)  # it listens
            storage.call("PUBLISH", storage.keys.scheduling, "pause")
            assert waker.wait(LONG)
            server.kill()
            server.start()
            assert waker.wait(LONG)  # it listens again, and does not know what was said meanwhile
            wait_until(lambda: storage.call("PUBLISH", storage.keys.scheduling, "resume") == 1)
            assert waker.wait(LONG)
        storage.close()
