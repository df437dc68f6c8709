"""Random workflows, some of whose steps go on as others, are resumed: against a model that knows what has succeeded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy import actor, chain, chord, group, step
from understudy.brokers.redis import RedisBroker
from understudy.canvas.compose import Canvas
from understudy.testing.worker import StepWorker

from .test_random import Failed, Shape, flat, shapes, shown, unfolded

#: What lets a step fail until that is mended.
BROKEN = -1


def going_on(parts: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    """A step that goes on as what it is told."""
    return st.tuples(st.just("on"), parts)


@dataclass
class Model:
    """Evaluates a shape; what has succeeded is known by its path, and not done again. ``ran`` counts bodies."""

    ran: int = 0
    mended: bool = False
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def run(self, shape: Shape, value: Any, *path: Any) -> Any:
        if path not in self.known:
            self.known[path] = self._run(shape, value, *path)
        return self.known[path]

    def _run(self, shape: Shape, value: Any, *path: Any) -> Any:
        kind = shape[0]
        if kind == "step":
            self.ran += 1
            if shape[1] == BROKEN and not self.mended:
                raise Failed
            return shape[1] + (0 if shape[2] else flat(value))
        if kind == "on":
            self.run(("step", 0, True), None, *path, "itself")
            return self.run(shape[1], None, *path, "on")
        if kind == "chain":
            for place, part in enumerate(shape[1]):
                value = self.run(part, value, *path, place)
            return value
        if kind == "chord":
            return self.run(shape[2], self.run(("group", *shape[1::2]), value, *path, "header"), *path, "body")
        return self._group(shape[1], shape[2], value, *path)

    def _group(self, members: list[Shape], policy: Any, value: Any, *path: Any) -> list[Any]:
        found: list[Any] = []
        failed = 0
        for place, member in enumerate(unfolded(members)):
            try:
                found.append(self.run(member, value, *path, place))
            except Failed:
                failed += 1
                found.append("failed")
        if len(found) - failed < {"fail": len(found), "partial": 0, 1: 1}[policy]:
            raise Failed
        return found


def canvas(shape: Shape, random_step: Any) -> Canvas:
    """The shape as it is composed."""
    kind, *parts = shape
    if kind == "step":
        return step(random_step.message(parts[0]), immutable=parts[1])
    if kind == "on":
        return step(random_step.message(parts[0]))
    if kind == "chain":
        return chain(canvas(part, random_step) for part in parts[0])
    if kind == "group":
        return group((canvas(part, random_step) for part in parts[0]), policy=parts[1])
    return chord([canvas(part, random_step) for part in parts[0]], canvas(parts[1], random_step), policy=parts[2])


@pytest.mark.brokers("stub")
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(shape=shapes(going_on))
def test_only_what_has_not_succeeded_runs_again(broker: RedisBroker, step_worker: StepWorker, shape: Shape) -> None:
    model, ran = Model(), list[int]()
    broken = True

    def body(*values: Any) -> Any:
        ran.append(1)
        *inputs, told = values
        if not isinstance(told, int):
            return canvas(told, random_step)
        if told == BROKEN and broken:
            raise ValueError(told)
        return told + sum(map(flat, map(shown, inputs)))

    broker.actors.pop("random_step", None)
    random_step = actor(actor_name="random_step")(body)

    found = canvas(shape, random_step).run()
    for model.mended in (False, False, True):
        broken = not model.mended
        try:
            expected = model.run(shape, None)
        except Failed:
            expected = Failed
        step_worker.drain()
        assert len(ran) == model.ran
        assert broker.size("default") == 0
        assert found.flow.ask("state")[0] == (b"FAILURE" if expected is Failed else b"SUCCESS")
        if expected is not Failed:
            assert shown(found.get()) == expected
            break
        found.resume()
    else:
        pytest.fail("it failed when all was mended")
    if found.flow.entry(1).is_group:
        return
    anew, broken = Model(mended=True), False
    found.resume(from_step=1)
    step_worker.drain()
    assert shown(found.get()) == anew.run(shape, None)
    assert len(ran) == model.ran + anew.ran
