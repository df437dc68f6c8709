from __future__ import annotations

import signal
from types import FrameType

import pytest

from understudy import clock
from understudy.cli import boot


def test_a_second_signal_within_a_moment_is_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    taken: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        taken.append(number)

    handler = boot.once_per(1.0, stop)
    handler(signal.SIGTERM, None)
    now = 100.9
    handler(signal.SIGTERM, None)
    assert taken == [signal.SIGTERM]
    now = 101.0
    handler(signal.SIGTERM, None)
    assert taken == [signal.SIGTERM, signal.SIGTERM]
