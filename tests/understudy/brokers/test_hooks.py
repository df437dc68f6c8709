"""Which hooks are called for a message: all that could have something to do, in their order, and no others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import dramatiq
import pytest
from dramatiq import Broker, Message, Middleware
from dramatiq.middleware import SkipMessage

from understudy import actor
from understudy.brokers.hooks import only_with
from understudy.brokers.redis import RedisBroker

Drain = Callable[..., int]


class Told(Middleware):
    """Notes what it is told of."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    @property
    def actor_options(self) -> set[str]:
        return {"loud", "shy"}

    def before_process_message(self, broker: Broker, message: Any) -> None:
        self.told.append(f"before {self.name}")

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        self.told.append(f"after {self.name}")

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        self.told.append(f"skipped {self.name}")


class Particular(Told):
    """Concerns loud actors, and messages that are loud."""

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> bool | Collection[str]:
        return bool(actor.options.get("loud")) or ("loud",)


class Derived(Particular):
    """Says nothing of its own."""


class Stops(Middleware):
    def before_process_message(self, broker: Broker, message: Any) -> None:
        raise SkipMessage("not now")


@pytest.fixture
def told(broker: RedisBroker) -> list[str]:
    found: list[str] = []
    broker.add_middleware(Told("stranger", found))
    broker.add_middleware(Particular("particular", found))
    broker.add_middleware(only_with(Told("shy", found), "shy"))
    broker.add_middleware(Derived("derived", found))
    return found


def test_what_does_not_concern_a_message_is_not_called_for_it(drain: Drain, told: list[str]) -> None:
    @actor
    def plain() -> None:
        told.append("body")

    plain.send()
    drain()
    assert told == ["before stranger", "before derived", "body", "after derived", "after stranger"]


def test_an_actor_or_a_message_that_asks_for_it_gets_it_in_its_place(
    broker: RedisBroker, drain: Drain, told: list[str]
) -> None:
    @actor(loud=True)
    def loud() -> None:
        """Says so itself."""

    @actor
    def plain() -> None:
        """Says nothing."""

    names = ["stranger", "particular", "derived"]
    expected = [f"before {name}" for name in names] + [f"after {name}" for name in names[::-1]]
    loud.send()
    drain()
    assert told == expected
    for options in ({"loud": True}, {"shy": True}):
        told.clear()
        message: Message[Any] = plain.message()
        message.options.update(options)
        broker.enqueue(message)
        drain()
        names = ["stranger", "particular", "shy", "derived"]
        assert told == [f"before {name}" for name in names] + [f"after {name}" for name in names[::-1]]


def test_of_a_message_that_is_skipped_the_same_are_told(broker: RedisBroker, drain: Drain, told: list[str]) -> None:
    broker.add_middleware(Stops())

    @actor
    def plain() -> None:
        """Never runs."""

    plain.send()
    drain()
    assert told == ["before stranger", "before derived", "skipped derived", "skipped stranger"]


def test_an_actor_that_is_declared_anew_is_asked_for_anew(broker: RedisBroker, drain: Drain, told: list[str]) -> None:
    for loud in (False, True):
        told.clear()

        @actor(actor_name="same", loud=loud)
        def same() -> None:
            """One of two of this name."""

        same.send()
        drain()
        assert ("before particular" in told) == loud
        broker.actors.pop("same")


def test_middleware_that_comes_later_is_called_too(broker: RedisBroker, drain: Drain, told: list[str]) -> None:
    @actor
    def plain() -> None:
        """Runs twice."""

    plain.send()
    drain()
    broker.add_middleware(Told("late", told))
    told.clear()
    plain.send()
    drain()
    assert told[:3] == ["before stranger", "before derived", "before late"]
