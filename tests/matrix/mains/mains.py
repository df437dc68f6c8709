"""What a main actor is, and which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import dramatiq

from understudy.states import State

from .house import Call, House


class Main(ABC):
    """The main actor of a domain: how it is given something to do, and how its effects are counted.

    Attributes:
      domain: the module of ``tasks``, a flow, or ``periodic``.
      unit: what one message does, in words.
      ended: how often it has taken effect when it was ended at its time limit while nothing answered.
      killed: the state, and how often it took effect, of a message whose worker was killed in its body.
    """

    actor: ClassVar[dramatiq.Actor[..., Any]]
    domain: ClassVar[str]
    unit: ClassVar[str]
    ended: ClassVar[int] = 0
    killed: ClassVar[tuple[State, int]] = (State.SUCCESS, 1)

    @property
    def name(self) -> str:
        """The name of the actor."""
        return self.actor.actor_name

    def open(self, house: House) -> None:  # noqa: B027 - some need nothing
        """Prepare a new house."""

    @abstractmethod
    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        """So many messages that have something to do. Effects of different batches have different names."""

    @abstractmethod
    def effects(self, house: House) -> Counter[str]:
        """How often each effect took place; fails when one is there by half."""


#: One per domain.
MAINS: dict[str, Main] = {}

M = TypeVar("M", bound=type[Main])


def main(actor: dramatiq.Actor[..., Any], domain: str) -> Callable[[M], M]:
    """Make the decorated class what is known of ``actor``, the main one of ``domain``.

    Raises:
      ValueError: the domain has one already.
    """

    def declare(kind: M) -> M:
        if domain in MAINS:
            raise ValueError(f"{domain} has two main actors: {MAINS[domain].name}, {actor.actor_name}")
        kind.actor, kind.domain = actor, domain
        MAINS[domain] = kind()
        return kind

    return declare


def whole(found: Counter[str], parts: int) -> Counter[str]:
    """How often each effect of so many parts took place. One that has a part more or less is there by half."""
    by_half = {effect: count for effect, count in found.items() if count % parts}
    assert by_half == {}, f"of {parts} parts each there are {by_half}"
    return Counter({effect: count // parts for effect, count in found.items()})
