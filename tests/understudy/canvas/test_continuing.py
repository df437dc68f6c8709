"""An actor that returns a canvas is continued by it (C15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy import actor, chain, chord, group, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults

Drain = Callable[..., int]


class World:
    def __init__(self) -> None:
        self.told: list[Any] = []

        @actor
        def add(value: Any, more: int) -> int:
            if more < 0:
                raise ValueError("negative")
            return int(value) + more

        @actor
        def total(values: list[int]) -> int:
            return sum(values)

        @actor(queue_name="other")
        def elsewhere(value: Any) -> Any:
            return value

        @actor
        def goes_on(kind: str, *rest: Any) -> Any:
            if kind == "chain":
                return chain(add.message(1, 10), add.message(100))
            if kind == "group":
                return group(add.message(1, 1), chain(add.message(2, 2), elsewhere.message()))
            if kind == "chord":
                return chord([add.message(1, 1), add.message(2, 2)], total.message())
            if kind == "again":
                return chain(goes_on.message("chain"))
            return chain(add.message(1, 1), add.message(-1), add.message(1))

        @actor
        def tell(value: Any) -> None:
            self.told.append(value)

        self.add: Actor[..., Any] = add
        self.total: Actor[..., Any] = total
        self.goes_on: Actor[..., Any] = goes_on
        self.tell: Actor[..., Any] = tell


@pytest.fixture
def world(broker: RedisBroker) -> World:
    return World()


@pytest.mark.parametrize(("kind", "value"), [("chain", 111), ("group", [2, 4]), ("chord", 6), ("again", 111)])
def test_a_message_comes_to_what_it_is_continued_by(world: World, drain: Drain, kind: str, value: Any) -> None:
    found = handle(world.goes_on.send(kind))
    drain()
    assert found.status == "SUCCESS"
    assert found.get() == value


@pytest.mark.parametrize(("kind", "value"), [("chain", 112), ("again", 112)])
def test_the_next_step_waits_for_it(world: World, drain: Drain, kind: str, value: Any) -> None:
    found = chain(world.goes_on.message(kind), world.add.message(1)).run(on_success=world.tell.message())
    drain()
    assert found.get() == value
    assert handle(f"{found.workflow_id}.1").get() == value - 1
    assert world.told == [value]


def test_a_member_of_a_group_is_continued(world: World, drain: Drain) -> None:
    found = chord([world.goes_on.message("chord"), world.add.message(1, 1)], world.total.message()).run()
    also = chain(world.goes_on.message("group"), world.total.message()).run()
    drain()
    assert (found.get(), also.get()) == (8, 6)


def test_when_it_fails_so_has_the_message_in_whose_place_it_ran(world: World, drain: Drain) -> None:
    alone = handle(world.goes_on.send("boom"))
    found = chain(world.goes_on.message("boom"), world.add.message(1)).run(on_failure=world.tell.message())
    drain()
    assert alone.status == "FAILURE"
    assert [handle(f"{found.workflow_id}.{node}").status for node in (1, 2)] == ["FAILURE", "FAILURE"]
    for one in (alone, found):
        with pytest.raises(ValueError, match="negative"):
            one.get()
    assert len(world.told) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_at_the_settlement_leaves_one_continuation(
    world: World, drain: Drain, faults: Faults, freezer: Any, when: Any, broker: RedisBroker
) -> None:
    found = chain(world.goes_on.message("chain"), world.add.message(1)).run()
    alone = handle(world.goes_on.send("chain"))
    faults.kill_at("settle", when=when)
    for _ in range(3):
        drain()
        freezer.tick(60)
    assert (found.get(), alone.get()) == (112, 111)
    assert broker.size("default") == 0
