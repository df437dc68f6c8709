"""Random workflows against a model in memory: what runs, in which order, what it comes to, and what a failure stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy import actor, chain, chord, group, step
from understudy.brokers.redis import RedisBroker
from understudy.canvas.compose import Canvas
from understudy.errors import ChordError
from understudy.testing.worker import StepWorker

#: What a step is told to do: add a number, or fail.
Shape = tuple[Any, ...]


def shapes(*more: Callable[[st.SearchStrategy[Shape]], st.SearchStrategy[Shape]]) -> st.SearchStrategy[Shape]:
    """Canvases as nested tuples, and what ``more`` makes of their parts."""
    steps = st.tuples(st.just("step"), st.integers(0, 9) | st.just(-1), st.booleans())
    policies = st.sampled_from(["fail", "fail", "partial", 1])
    return st.recursive(
        steps,
        lambda parts: st.one_of(
            st.tuples(st.just("chain"), st.lists(parts, min_size=1, max_size=3)),
            st.tuples(st.just("group"), st.lists(parts, min_size=1, max_size=3), policies),
            st.tuples(st.just("chord"), st.lists(parts, min_size=1, max_size=3), parts, policies),
            *(made(parts) for made in more),
        ),
        max_leaves=10,
    )


class Failed(Exception):
    """In the model: something did not succeed."""


@dataclass
class Model:
    """Evaluates a shape as the documentation says. ``ran`` counts bodies."""

    ran: int = 0
    numbers: list[int] = field(default_factory=list)

    def run(self, shape: Shape, value: Any) -> Any:
        kind = shape[0]
        if kind == "step":
            self.ran += 1
            if shape[1] < 0:
                raise Failed
            return shape[1] + (0 if shape[2] else flat(value))
        if kind == "chain":
            for part in shape[1]:
                value = self.run(part, value)
            return value
        if kind == "chord":
            return self.run(shape[2], self._group(shape[1], shape[3], value))
        return self._group(shape[1], shape[2], value)

    def _group(self, members: list[Shape], policy: Any, value: Any) -> list[Any]:
        found, failed, size = [], 0, 0
        for member in unfolded(members):
            size += 1
            try:
                found.append(self.run(member, value))
            except Failed:
                failed += 1
                found.append("failed")
        if size - failed < {"fail": size, "partial": 0, 1: 1}[policy]:
            raise Failed
        return found


def unfolded(members: list[Shape]) -> list[Shape]:
    """A group in a group counts as its members (G06), unless it has a policy of its own."""
    found = []
    for member in members:
        if member[0] == "group" and member[2] == "fail":
            found += unfolded(member[1])
        else:
            found.append(member)
    return found


def flat(value: Any) -> int:
    """What a step makes of its input."""
    if isinstance(value, list):
        return sum(map(flat, value))
    return value if isinstance(value, int) else 0


def shown(value: Any) -> Any:
    """A result as the model has it."""
    if isinstance(value, list):
        return [shown(part) for part in value]
    return "failed" if isinstance(value, Exception) else value


@pytest.mark.brokers("stub")
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(shape=shapes())
def test_a_workflow_does_what_the_model_says(broker: RedisBroker, step_worker: StepWorker, shape: Shape) -> None:
    ran: list[int] = []

    def body(*values: Any) -> int:
        ran.append(1)
        *inputs, number = values
        if number < 0:
            raise ValueError(number)
        return int(number) + sum(map(flat, map(shown, inputs)))

    broker.actors.pop("random_step", None)
    random_step = actor(actor_name="random_step")(body)

    def canvas(one: Shape) -> Canvas:
        if one[0] == "step":
            return step(random_step.message(one[1]), immutable=one[2])
        if one[0] == "chain":
            return chain(canvas(part) for part in one[1])
        if one[0] == "group":
            return group((canvas(part) for part in one[1]), policy=one[2])
        return chord([canvas(part) for part in one[1]], canvas(one[2]), policy=one[3])

    whole = canvas(shape)
    model = Model()
    try:
        expected = model.run(shape, None)
    except Failed:
        expected = Failed
    found = whole.run()
    step_worker.drain()
    assert len(ran) == model.ran
    assert broker.size("default") == 0
    assert found.ready()
    assert found.flow.ask("state")[0] == (b"FAILURE" if expected is Failed else b"SUCCESS")
    if expected is Failed:
        with pytest.raises((ValueError, ChordError)):
            found.get()
    else:
        assert shown(found.get()) == expected
