"""Understudy: a worker system on Dramatiq that behaves as Celery users expect, and proves it.

Importing this package does no I/O and starts no server. Its names are imported when they are first used: the
supervisor of the embedded server, the command line's help and shell completion need none of them, and would else
import Dramatiq, pydantic and the Redis client (a quarter of a second, and most of a supervisor's memory).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import client, progress
    from .actors import actor
    from .breaking import CircuitBreaker
    from .bulk import send_many
    from .canvas import WorkflowHandle, chain, chord, group, step, workflow
    from .errors import AlreadyEnqueued, UnderstudyError
    from .handle import Handle, handle, revoke
    from .handling import Alert, Errors
    from .items import each
    from .keyed import ConcurrencyLimit, RateLimit
    from .options import Idempotency, Retry, Unique
    from .retrying import retry
    from .runtime import install
    from .scheduler.firing import fire_time
    from .scheduler.jobs import periodic
    from .states import State

__version__ = "0.1.0"

__all__ = [
    "Alert",
    "AlreadyEnqueued",
    "CircuitBreaker",
    "ConcurrencyLimit",
    "Errors",
    "Handle",
    "Idempotency",
    "RateLimit",
    "Retry",
    "State",
    "UnderstudyError",
    "Unique",
    "WorkflowHandle",
    "actor",
    "chain",
    "chord",
    "client",
    "each",
    "fire_time",
    "group",
    "handle",
    "install",
    "periodic",
    "progress",
    "retry",
    "revoke",
    "send_many",
    "step",
    "workflow",
]

#: Name -> its module. A name that is not here is a module.
_HOMES = {
    "Alert": "handling",
    "Errors": "handling",
    "AlreadyEnqueued": "errors",
    "CircuitBreaker": "breaking",
    "ConcurrencyLimit": "keyed",
    "Handle": "handle",
    "Idempotency": "options",
    "RateLimit": "keyed",
    "Retry": "options",
    "State": "states",
    "UnderstudyError": "errors",
    "Unique": "options",
    "WorkflowHandle": "canvas",
    "actor": "actors",
    "chain": "canvas",
    "chord": "canvas",
    "each": "items",
    "fire_time": "scheduler.firing",
    "group": "canvas",
    "install": "runtime",
    "periodic": "scheduler.jobs",
    "retry": "retrying",
    "revoke": "handle",
    "send_many": "bulk",
    "step": "canvas",
    "workflow": "canvas",
}

if not TYPE_CHECKING:  # a type checker shall go on knowing which names there are

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_HOMES.get(name, name)}")
        value = getattr(module, name) if name in _HOMES else module
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

    class _Package(ModuleType):
        """``understudy.handle`` is a function, and the import system would put the module of that name in its
        place whenever somebody imports ``understudy.handle``. A property stands above both."""

        @property
        def handle(self) -> object:
            return import_module(f"{__name__}.handle").handle

        @handle.setter
        def handle(self, module: ModuleType) -> None:
            """The import system's announcement of the module; ``sys.modules`` knows it already."""

    sys.modules[__name__].__class__ = _Package
