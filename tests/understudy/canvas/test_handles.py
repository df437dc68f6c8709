"""Handles of workflows, on a worker with threads: who waits is told."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.understudy.brokers.helpers import SOON, working
from understudy import actor, chain, group, handle, workflow
from understudy.brokers.redis import RedisBroker
from understudy.canvas.handles import WorkflowHandle
from understudy.errors import ResultTimeout, WorkflowError

Drain = Callable[..., int]


def test_a_handle_is_found_by_the_name_or_by_the_id_of_a_step(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body(value: int) -> int:
        return value + 1

    found = chain(body.message(1), group(body.message() for _ in range(2))).run()
    drain()
    again = workflow(found.workflow_id)
    assert (again.id, again.get(), again.is_group) == (found.id, [3, 3], True)
    first = workflow(f"{found.workflow_id}.1")
    assert (first.get(), first.parent, first.is_group, first.completed_count) == (2, None, False, 1)
    assert [child.get() for child in again.children] == [3, 3]
    assert again.results == [] or [one.id for one in again.results] == [one.id for one in again.children]
    with pytest.raises(WorkflowError, match="no workflow 'nobody' is known"):
        workflow("nobody").get()
    assert not workflow("nobody").exists()


def test_a_workflow_is_found_by_the_message_that_goes_on_as_it(broker: RedisBroker, drain: Drain) -> None:
    fails = [True]

    @actor
    def body(value: int) -> int:
        if fails:
            raise ValueError
        return value + 1

    @actor
    def goes_on() -> Any:
        return chain(body.message(1), body.message())

    message = goes_on.send()
    among = chain(goes_on.message()).run()
    drain()
    fails.clear()
    found = workflow(message.message_id)
    assert found.failed()
    found.resume()
    drain()
    assert found.get() == handle(message).get() == 3
    assert workflow(f"{among.workflow_id}.1").failed()


def test_get_in_an_actor_is_refused(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def inner() -> int:
        return 1

    @actor
    def outer() -> Any:
        return chain(inner.message()).run().get()

    found = handle(outer.send())
    drain()
    assert "return the workflow instead" in str(found.result)


@pytest.mark.brokers("server")
def test_whoever_waits_on_the_tail_is_told_as_soon_as_a_step_fails(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("understudy.handle", "understudy.canvas.handles"):
        monkeypatch.setattr(sys.modules[module], "LOOK_AGAIN", SOON)
    go_on = threading.Event()

    @actor
    def slow(value: Any = None) -> None:
        go_on.wait(SOON)

    @actor
    def boom(value: Any = None) -> None:
        raise ValueError("boom")

    alone = chain(boom.message(), slow.message(), slow.message()).run()
    among = chain(group(slow.message(), boom.message()), slow.message()).run()
    with working(broker):
        with pytest.raises(ValueError, match="boom"):
            alone.get(timeout=SOON)
        with pytest.raises(ValueError, match="boom"):
            handle(f"{alone.workflow_id}.2").get(timeout=SOON)
        with pytest.raises(ValueError, match="boom"):
            among.get(timeout=SOON)  # while the other member runs (H02, G09)
        assert among.waiting()
        go_on.set()
        assert str(among.get(timeout=SOON, propagate=False)).startswith("Dependency")


def test_a_wait_ends_at_its_time(broker: RedisBroker) -> None:
    @actor
    def body() -> None:
        return None

    found: WorkflowHandle = group(body.message()).run()
    with pytest.raises(ResultTimeout):
        found.get(timeout=0.01)
