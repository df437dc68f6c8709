"""Idempotency of actors that go on as a workflow: one outcome per key, and it is that of the workflow (P3, C15)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, actor, chain, group, handle, step
from understudy.actors import Actor
from understudy.errors import DuplicateRunning
from understudy.states import State

Drain = Callable[..., int]

pytestmark = pytest.mark.usefixtures("broker")


class Flow:
    """An actor with a key that goes on as a chain of two steps, or as a group."""

    def __init__(self, *, parallel: bool = False, delay: int = 0, **options: Any) -> None:
        self.ran: list[str] = []
        self.fails = False

        @actor(actor_name="part")
        def part(name: str) -> str:
            self.ran.append(name)
            if self.fails:
                raise ValueError("broken")
            return f"{name}!"

        @actor(actor_name="whole", idempotency=Idempotency(key="{name}", **options))
        def whole(name: str) -> Any:
            self.ran.append("whole")
            if parallel:
                return group(part.message("a"), part.message("b"))
            return chain(
                step(part.message("a"), delay=delay),
                part.message_with_options(immutable=True, args=(name,)),
            )

        self.whole: Actor[[str], Any] = whole


def rounds(drain: Drain, freezer: FrozenDateTimeFactory, count: int = 8) -> None:
    for _ in range(count):
        drain()
        freezer.tick(1)


@pytest.mark.parametrize(("parallel", "result"), [(False, "x!"), (True, ["a!", "b!"])])
def test_a_later_duplicate_gets_what_the_workflow_came_to(
    parallel: bool, result: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    flow = Flow(parallel=parallel)
    first = flow.whole.send("x")
    rounds(drain, freezer)
    second = flow.whole.send("x")
    rounds(drain, freezer)
    assert handle(first).get() == handle(second).get() == result
    assert flow.ran.count("whole") == 1
    assert len(flow.ran) == 3


def test_a_duplicate_waits_while_the_workflow_goes_on(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = Flow(delay=5)
    first = flow.whole.send("x")
    drain()
    second = flow.whole.send("x")
    rounds(drain, freezer, 3)
    assert flow.ran == ["whole"]
    assert handle(second).status == State.PENDING
    rounds(drain, freezer, 12)
    assert flow.ran == ["whole", "a", "x"]
    assert handle(first).get() == handle(second).get() == "x!"
    assert handle(second).retries == 0


@pytest.mark.parametrize(("on_running", "state"), [("skip", State.REVOKED), ("fail", State.FAILURE)])
def test_a_duplicate_that_does_not_wait_is_skipped_or_fails(
    on_running: Any, state: State, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    flow = Flow(delay=5, on_running=on_running)
    flow.whole.send("x")
    drain()
    second = flow.whole.send("x")
    drain()
    assert handle(second).status == state
    if on_running == "fail":
        with pytest.raises(DuplicateRunning):
            handle(second).get()
    rounds(drain, freezer, 10)
    assert flow.ran == ["whole", "a", "x"]


def test_after_a_workflow_that_failed_the_key_is_free(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = Flow()
    flow.fails = True
    first = flow.whole.send("x")
    rounds(drain, freezer)
    assert handle(first).status == State.FAILURE
    flow.fails = False
    second = flow.whole.send("x")
    rounds(drain, freezer)
    assert handle(second).get() == "x!"
    assert flow.ran == ["whole", "a", "whole", "a", "x"]
    third = flow.whole.send("x")
    rounds(drain, freezer)
    assert handle(third).get() == "x!"
    assert flow.ran.count("whole") == 2


def test_the_same_message_sent_again_changes_nothing(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = Flow(delay=5)
    first = flow.whole.send("x")
    drain()
    flow.whole.send_with_options(args=("x",), message_id=first.message_id)
    rounds(drain, freezer, 12)
    flow.whole.send_with_options(args=("x",), message_id=first.message_id)
    rounds(drain, freezer)
    assert flow.ran == ["whole", "a", "x"]
    assert handle(first).get() == "x!"


def test_the_same_message_sent_again_after_its_workflow_failed_runs_nothing(
    drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    flow = Flow()
    flow.fails = True
    first = flow.whole.send("x")
    rounds(drain, freezer)
    flow.whole.send_with_options(args=("x",), message_id=first.message_id)
    rounds(drain, freezer)
    assert flow.ran == ["whole", "a"]
    assert drain() == 0, "it does not come back again and again"


def test_when_the_time_is_over_it_runs_anew(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = Flow(ttl=timedelta(hours=1))
    flow.whole.send("x")
    rounds(drain, freezer)
    freezer.tick(3_500)
    flow.whole.send("x")
    rounds(drain, freezer)
    assert flow.ran.count("whole") == 1
    freezer.tick(200)
    flow.whole.send("x")
    rounds(drain, freezer)
    assert flow.ran.count("whole") == 2


def test_a_duplicate_that_is_a_step_hands_the_result_on(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = Flow()
    got: list[str] = []

    @actor
    def last(value: str) -> str:
        got.append(value)
        return value.upper()

    flow.whole.send("x")
    rounds(drain, freezer)
    found = chain(flow.whole.message("x"), last.message()).run()
    rounds(drain, freezer)
    assert found.get() == "X!"
    assert got == ["x!"]
    assert flow.ran.count("whole") == 1
