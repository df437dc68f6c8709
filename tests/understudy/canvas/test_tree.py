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
    assert branches[1].plain()["members"][0][0]["seconds"] is not None
