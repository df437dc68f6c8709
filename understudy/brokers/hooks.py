"""Which hooks of middleware are called for what.

Dramatiq calls every hook of every middleware for every message, some thirty of them, and most do nothing. Here those
that are empty are not called. And of the hooks around a body those are not called that do not concern the message: a
middleware may say so by a method ``concerns``, or an attribute that is such a function::

    def concerns(self, actor) -> bool | Collection[str]

It is asked once for each actor: ``True`` for all of its messages, else the names of the options by which a message asks
for the hooks itself. A middleware that does not say, or that a class derived from it has changed, is always called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware

Hook = tuple[Middleware, Callable[..., Any]]
Concerns = Callable[[dramatiq.Actor[..., Any]], bool | Collection[str]]


@dataclass(frozen=True, slots=True)
class Around:
    """The hooks around the body of a message, in the order in which they are called.

    Attributes:
      actor: whose messages these are for; None if any's.
      unless: the options of a message for which these are not all.
    """

    actor: dramatiq.Actor[..., Any] | None
    unless: frozenset[str]
    before: tuple[Hook, ...]
    after: tuple[Hook, ...]
    skipped: tuple[Hook, ...]

    def behind(self, signal: str) -> tuple[Hook, ...]:
        """Those after ``signal``, one of the two ends of a body."""
        return self.after if signal == "process_message" else self.skipped


class Hooks:
    """The hooks of the middleware of ``broker``, looked up once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._found: dict[str, tuple[Hook, ...]] = {}
        self._around: dict[str, Around] = {}
        self._all: Around | None = None

    def forget(self) -> None:
        """The middleware has changed."""
        self._found.clear()
        self._around.clear()
        self._all = None

    def before(self, signal: str) -> tuple[Hook, ...]:
        """The hooks before ``signal`` that do something, from first to last."""
        return self._named(f"before_{signal}")

    def behind(self, signal: str) -> tuple[Hook, ...]:
        """The hooks after ``signal`` that do something, from last to first."""
        return self._named(f"after_{signal}")

    def around(self, message: Any) -> Around:
        """The hooks around the body of ``message``."""
        name = message.actor_name
        found = self._around.get(name)
        if found is None or found.actor is not self._broker.actors.get(name):
            found = self._planned(name)
        return found if found.unless.isdisjoint(message.options) else self.all

    @property
    def all(self) -> Around:
        """The hooks around a body, whatever its message says."""
        if self._all is None:
            self._all = self._those(self._broker.middleware, None, frozenset())
        return self._all

    def _planned(self, name: str) -> Around:
        actor = self._broker.actors.get(name)
        if actor is None:
            return self.all
        concerned, unless = list[Middleware](), set[str]()
        for middleware in self._broker.middleware:
            answer = _concerns(middleware, actor)
            if answer is True:
                concerned.append(middleware)
            else:
                unless.update(answer or ())
        found = self._around[name] = self._those(concerned, actor, frozenset(unless))
        return found

    def _those(
        self, middleware: Collection[Middleware], actor: dramatiq.Actor[..., Any] | None, unless: frozenset[str]
    ) -> Around:
        def of(hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
            return tuple(hook for hook in hooks if any(hook[0] is one for one in middleware))

        before, after, skipped = (
            *(self.before("process_message"), self.behind("process_message")),
            self.behind("skip_message"),
        )
        return Around(actor, unless, of(before), of(after), of(skipped))

    def _named(self, name: str) -> tuple[Hook, ...]:
        found = self._found.get(name)
        if found is None:
            empty = getattr(Middleware, name, None)
            hooks = [
                (middleware, getattr(middleware, name))
                for middleware in self._broker.middleware
                if getattr(type(middleware), name, empty) is not empty
            ]
            found = self._found[name] = tuple(hooks if name.startswith("before_") else hooks[::-1])
        return found


def _concerns(middleware: Middleware, actor: dramatiq.Actor[..., Any]) -> bool | Collection[str]:
    # Not one that is inherited: what the derived class does is not known to the one that says so.
    if "concerns" not in vars(middleware) and "concerns" not in vars(type(middleware)):
        return True
    answer: bool | Collection[str] = middleware.concerns(actor)  # type: ignore[attr-defined]
    return answer


def only_with(middleware: Middleware, *options: str) -> Middleware:
    """``middleware``, whose hooks around a body concern messages only that have one of ``options``."""
    middleware.concerns = lambda actor: options  # type: ignore[attr-defined]
    return middleware
