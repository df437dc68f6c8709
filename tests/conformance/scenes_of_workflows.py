"""Actors of the scenarios of chains, groups and chords, and how what they come to is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dramatiq.middleware import SkipMessage

from understudy import Retry, actor, handle
from understudy.canvas.handles import WorkflowHandle

from .actors import Boom
from .behaviours import got

Drain = Callable[..., int]


class Scene:
    """Actors, and what they noted.

    Attributes:
      ran: the bodies that ran, by their names and arguments.
      told: what callbacks were told.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any]] = []
        self.told: list[Any] = []

        def note(name: str, *values: Any) -> None:
            self.ran.append((name, values))

        @actor
        def add(*numbers: int) -> int:
            note("add", *numbers)
            return sum(numbers)

        @actor
        def sub(a: int, b: int) -> int:
            note("sub", a, b)
            return a - b

        @actor
        def give(*values: Any) -> Any:
            note("give", *values)
            return values[-1]

        @actor
        def body(values: Any) -> Any:
            note("body", values)
            return values

        @actor
        def boom(*values: Any) -> None:
            note("boom", *values)
            raise Boom(next((value for value in values if isinstance(value, str)), "boom"))

        @actor
        def ignores(*values: Any) -> None:
            note("ignores")
            raise SkipMessage

        @actor(retry=Retry(1, backoff=5, jitter="none"))
        def flaky(value: Any) -> Any:
            note("flaky", value)
            if self.runs("flaky") == 1:
                raise Boom("once")
            return value

        @actor
        def tell(what: Any) -> None:
            self.told.append(what)

        self.add, self.sub, self.give, self.body, self.boom = add, sub, give, body, boom
        self.ignores, self.flaky, self.tell = ignores, flaky, tell

    def runs(self, name: str) -> int:
        """How often a body ran."""
        return [one for one, _ in self.ran].count(name)


def states(found: WorkflowHandle, *nodes: int) -> list[str]:
    """The states of steps by their numbers."""
    return [handle(f"{found.workflow_id}.{node}").status.value for node in nodes]


def recorded(ask: Callable[[], Any]) -> dict[str, Any]:
    """As ``got``, also of exceptions in a list."""
    seen = got(ask)
    if isinstance(seen.get("returned"), list):
        values = [f"exception:{one!r}" if isinstance(one, Exception) else one for one in seen["returned"]]
        return {"returned": values}
    return seen
