"""Dramatiq's own pipelines: when a message of one fails for good, the later ones have ended too (P8).

Each message of a pipeline carries all that come after it, so whoever ends it knows their ids. They get the state and
the exception of the one that failed, in the same settlement, and whoever waits for them is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from understudy.durations import to_millis
from understudy.states import State
from understudy.storage.client import Value
from understudy.storage.keys import Keys

from .operations import Operations

#: The option in which a message carries the next one.
TARGET = "pipe_target"


def later(options: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the messages that come after one with ``options``."""
    target = options.get(TARGET)
    while isinstance(target, Mapping):
        message_id, more = target.get("message_id"), target.get("options")
        if isinstance(message_id, str) and message_id:
            yield message_id
        target = more.get(TARGET) if isinstance(more, Mapping) else None


def stop(
    operations: Operations,
    keys: Keys,
    message_id: str,
    options: Mapping[str, Any],
    *,
    state: State,
    exception: Value,
    traceback: Value = "",
    ttl: float,
) -> int:
    """Add the operations by which the messages after ``message_id`` have ended as it has; returns how many."""
    count = 0
    for id in later(options):
        operations.put(
            *("stop", operations.number(keys.state(id)), operations.number(keys.state(message_id)), to_millis(ttl)),
            *(state.value, exception, traceback, message_id, keys.channel(id)),
        )
        count += 1
    return count
