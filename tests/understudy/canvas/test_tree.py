"""A workflow as a tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from understudy import actor, chain, group
from understudy.brokers.redis import RedisBroker
from understudy.canvas.tree import tree

Drain = Callable[..., int]


def test_steps_that_did_not_run_are_shown_by_their_actors(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def first() -> Any:
        return chain(second.message(7))

    @actor
    def second(value: int) -> int:
        return value

    found = chain(first.message(), group(second.message() for _ in range(3)), second.message()).run()
    branches = tree(broker.records, found.flow, most=2)
    assert [branch.label for branch in branches] == ["first", "group of 3: 0 succeeded, 0 did not", "second"]
    assert [(strand[0].label, strand[0].state) for strand in branches[1].members] == [("second", "PENDING")] * 2
    assert branches[1].more == 1
    drain()
    branches = tree(broker.records, found.flow)
    assert [branch.state for branch in branches] == ["SUCCESS"] * 3
    assert branches[0].instead.startswith(f"{found.workflow_id}.")
    assert [(one.label, one.state, one.id) for one in branches[0].members[0]] == [
        ("second", "SUCCESS", branches[0].instead)
    ]
    assert branches[1].plain()["members"][0][0]["seconds"] is not None


def test_what_goes_on_in_the_place_of_a_step_is_shown_below_it(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def part(value: int) -> int:
        if value == 2:
            raise ValueError("two")
        return value + 1

    @actor
    def outer() -> Any:
        return chain(part.message(0), inner.message(), part.message())

    @actor
    def inner(value: int) -> Any:
        return chain(group(part.message(value), part.message(2)), part.message())

    found = group(outer.message(), part.message(5)).run()
    drain()
    (shown,), _ = tree(broker.records, found.flow)[0].members
    assert (shown.label, shown.state, shown.error) == ("outer", "FAILURE", shown.members[0][2].error)
    first, second, third = shown.members[0]
    assert [(one.label, one.state) for one in (first, second, third)] == [
        ("part", "SUCCESS"),
        ("inner", "FAILURE"),
        ("part", "FAILURE"),
    ]
    assert [one.label for one in second.members[0]] == ["group of 2: 1 succeeded, 1 did not", "part"]
    assert [one[0].error for one in second.members[0][0].members] == ["", "ValueError: two"]
