"""The body that runs in a process of its own: of a module that this process can import by itself."""

from __future__ import annotations

import dramatiq.broker

import understudy
from middleware.stack import stack
from understudy.runtime import install
from understudy.settings import Settings, load

from .base import QUEUE

if dramatiq.broker.global_broker is None:  # in the body's process; the worker has installed its own
    _settings = load(Settings)
    install(_settings, middleware=stack(_settings))


@understudy.actor(queue_name=QUEUE, time_limit=60)
def isolated(index: int) -> int:
    """A no-op with a time limit."""
    return index
