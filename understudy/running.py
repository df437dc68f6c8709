"""What runs a body in place of a plain call of its actor."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

import dramatiq


class Runner(Protocol):
    """Runs the body of one execution in place of a plain call: in another process, for instance."""

    @property
    def actor(self) -> dramatiq.Actor[Any, Any]: ...
    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


#: What runs the next body of its actor that is called here.
next_runner: ContextVar[Runner | None] = ContextVar("understudy_runner", default=None)


def run_by(runner: Runner | None) -> None:
    """Let ``runner`` run the next body of its actor that is called in this thread; None takes that back."""
    next_runner.set(runner)
