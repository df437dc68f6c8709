"""Turns that a body takes, on the stub and on a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import RateLimit, actor, each, handle
from understudy.errors import HandBack
from understudy.pacing import turn
from understudy.testing.faults import Faults

Drain = Callable[..., int]
LIMIT = RateLimit(1, per=10, burst=2, key="door:{door}")

pytestmark = pytest.mark.usefixtures("broker")


def test_outside_of_a_body_it_is_always_now() -> None:
    assert [turn(LIMIT, door="a") for _ in range(5)] == [0.0] * 5


def test_a_limit_without_a_key_is_no_limit_of_anything(drain: Drain) -> None:
    @actor
    def asks() -> float:
        return turn(RateLimit(1))

    message = asks.send()
    drain()
    with pytest.raises(ValueError, match="needs a key"):
        handle(message).get()


def test_messages_share_it_with_each_other_and_with_limits_of_actors(
    drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    waits: list[tuple[str, float]] = []

    @actor
    def asks(door: str) -> None:
        waits.append((door, turn(LIMIT, door=door)))

    @actor(rate_limit=LIMIT)
    def is_limited(door: str) -> None:
        waits.append((door, 0.0))

    asks.send("a")
    drain()
    is_limited.send("a")
    drain()
    asks.send("a")
    asks.send("b")
    drain()
    assert waits == [("a", 0.0), ("a", 0.0), ("a", pytest.approx(10, abs=0.1)), ("b", 0.0)]


def test_what_is_not_due_is_done_later_without_burning_an_attempt_or_doing_anything_twice(
    drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    passed: list[str] = []

    @actor
    def walks(doors: list[str]) -> int:
        later = 0.0
        items = each(doors, key=str)
        for door in items:
            if wait := turn(LIMIT, door=door[0]):
                items.defer()
                later = max(later, wait)
            else:
                passed.append(door)
        if later:
            raise HandBack("a door is not due", delay=later)
        return items.successful

    message = walks.send(["a1", "a2", "a3", "a4", "b1"])
    drain()
    assert passed == ["a1", "a2", "b1"]
    freezer.tick(5)
    drain()
    assert len(passed) == 3
    freezer.tick(6)
    drain()
    assert passed == ["a1", "a2", "b1", "a3"]
    freezer.tick(11)
    drain()
    assert passed == ["a1", "a2", "b1", "a3", "a4"]
    assert handle(message).get() == 5
    assert handle(message).retries == 0


def test_while_the_server_cannot_be_asked_nothing_is_done(
    drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    done = []

    @actor
    def asks() -> None:
        turn(LIMIT, door="a")
        done.append(1)

    message = asks.send()
    faults.fail("turns", times=1)
    drain()
    assert done == []
    freezer.tick(60)
    drain()
    assert done == [1]
    assert handle(message).retries == 0
