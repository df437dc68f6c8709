"""A canvas laid flat: strands of elements, each a message or a group of strands. This is numbered and stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dramatiq import Message


@dataclass(frozen=True, eq=False)
class Callback:
    """A message that is sent when an element has ended.

    Attributes:
      told: the element whose id it gets after a failure; None: the one that failed.
      of: the element whose value, or exception, it gets in the place of its second argument: it is a callback of a
        message in whose place that goes on.
    """

    message: Message[Any]
    told: Element | None = None
    of: Element | None = None


@dataclass(eq=False)
class Element:
    """``good`` and ``bad`` are sent when it has succeeded, and when it has not."""

    good: list[Callback] = field(default_factory=list)
    bad: list[Callback] = field(default_factory=list)


@dataclass(eq=False, kw_only=True)
class Task(Element):
    """One message. Says what ``compose.Step`` says."""

    message: Message[Any]
    immutable: bool | None = None
    into: str | None = None
    delay: float = 0.0


@dataclass(eq=False, kw_only=True)
class Parallel(Element):
    """Strands that run at the same time; ``need`` of them must succeed."""

    members: list[list[Element]]
    need: int


def calls(messages: Iterable[Message[Any]], *, told: Element | None = None) -> list[Callback]:
    """Callbacks with ``messages``. One that stands at many elements is stored once."""
    return [Callback(message, told) for message in messages]


def attach(strand: list[Element], *, good: Iterable[Callback] = (), bad: Iterable[Callback] = ()) -> list[Element]:
    """Let ``good`` be sent when a strand has succeeded, and ``bad`` when any of its elements has failed."""
    strand[-1].good += good
    for element in strand:
        element.bad += bad
    return strand
