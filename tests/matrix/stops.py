"""A chain that stops: what every case of ``chain_stop`` shows of its subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dramatiq import Message

from tasks.adapters.channel_memory import MemoryChannels
from tasks.notification_tasks import send_notification
from understudy import chain


def assert_chain_stops(
    failing: Message[Any], error: type[Exception], drain: Callable[..., int], channels: MemoryChannels
) -> None:
    """``failing`` fails for good as the first step of a chain: later ones do not run, and who waits for the last one
    gets the error itself."""
    tail = chain(
        failing, send_notification.message("ops", "all", "is well"), send_notification.message("ops", "b")
    ).run()
    drain()
    with pytest.raises(error):
        tail.get()
    steps = [tail]
    while steps[-1].parent is not None:
        steps.append(steps[-1].parent)
    assert [step.status for step in steps] == ["FAILURE"] * 3
    assert channels.delivered == []
