"""Actors whose bodies run in a process of their own: they stand at the top of a module."""

from __future__ import annotations

from typing import Any

import tasks
from understudy import actor, chain, group

assert tasks, "its import installs the broker"


@actor(actor_name="canvas_isolated_add", time_limit=60)
def add(value: int, more: int = 1) -> int:
    return value + more


@actor(actor_name="canvas_isolated_goes_on", time_limit=60)
def goes_on(value: int) -> Any:
    return group(add.message(value), add.message(value, 10))


@actor(actor_name="canvas_isolated_sends", time_limit=60)
def sends(name: str) -> str:
    return chain(add.message(1), group(add.message(), add.message())).run(workflow_id=name).workflow_id


@actor(actor_name="canvas_isolated_total", time_limit=60)
def total(values: list[Any]) -> int:
    return sum(value if isinstance(value, int) else 1_000 for value in values)


@actor(actor_name="canvas_isolated_boom", time_limit=60)
def boom() -> None:
    raise ValueError("boom")
