"""How far a run is, as its steps are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from understudy import actor, chain, chord, progress
from understudy.brokers.redis import RedisBroker
from understudy.cli.stages import Stage, stages

Drain = Callable[..., int]


def test_each_stage_is_seen_when_it_begins(broker: RedisBroker, drain: Drain) -> None:
    seen: list[list[Stage]] = []

    def look() -> None:
        seen.append(list(stages(broker.records, "run")))

    @actor
    def begin() -> Any:
        progress.update(7, 7)
        return chord([work.message(number) for number in range(3)], body=body.message_with_options(args=()))

    @actor
    def work(number: int) -> None:
        look()
        if number == 1:
            raise ValueError("this one")

    @actor
    def body(results: list[Any]) -> None: ...

    chain(begin.message()).run(workflow_id="run")
    look()
    drain()
    look()
    assert seen[0] == [Stage(0, None)]
    assert seen[1] == [Stage(7, 7), Stage(0, 3)]
    assert seen[3] == [Stage(7, 7), Stage(2, 3, failed=1)]
    assert seen[-1] == [Stage(7, 7), Stage(3, 3, failed=1)]


def test_what_goes_on_as_no_group_has_no_further_stage(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def begin() -> Any:
        return chain(end.message())

    @actor
    def end() -> None: ...

    chain(begin.message()).run(workflow_id="run")
    drain()
    assert list(stages(broker.records, "run")) == [Stage(0, None)]
