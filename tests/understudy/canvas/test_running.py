"""Workflows from end to end, on the stub broker and on a server: order, results, what a failure stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy import actor, chain, chord, group, handle, step, workflow
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas import running
from understudy.errors import ChordError, ResultTimeout, WorkflowExists
from understudy.plans import pages
from understudy.states import State

Drain = Callable[..., int]


class Boom(Exception):
    pass


@pytest.fixture
def ran() -> list[str]:
    """The bodies that ran, by what they were given."""
    return []


@pytest.fixture
def sub(broker: RedisBroker, ran: list[str]) -> Actor[..., int]:
    @actor
    def sub(a: int, b: int) -> int:
        ran.append(f"{a}-{b}")
        return a - b

    return sub


@pytest.fixture
def total(broker: RedisBroker, ran: list[str]) -> Actor[..., int]:
    @actor
    def total(numbers: list[int], more: int = 0) -> int:
        ran.append(f"total {numbers}")
        return sum(numbers) + more

    return total


@pytest.fixture
def boom(broker: RedisBroker, ran: list[str]) -> Actor[..., None]:
    @actor
    def boom(*args: Any) -> None:
        ran.append("boom")
        raise Boom("boom")

    return boom


@pytest.fixture
def told(broker: RedisBroker) -> list[Any]:
    return []


@pytest.fixture
def tell(broker: RedisBroker, told: list[Any]) -> Actor[..., None]:
    @actor
    def tell(what: Any) -> None:
        told.append(what)

    return tell


def test_a_chain_passes_each_result_as_the_first_argument(drain: Drain, sub: Actor[..., int]) -> None:
    found = chain(sub.message(20, 5), sub.message(3), sub.message(1)).run()
    assert found.status == State.PENDING
    with pytest.raises(ResultTimeout):
        found.get(timeout=0)
    assert drain() == 3
    assert found.get() == 11
    assert [found.parent.result, found.parent.parent.result] == [12, 15]  # type: ignore[union-attr]
    assert found.parent.parent.parent is None  # type: ignore[union-attr]
    assert workflow(found.workflow_id).get() == 11
    assert handle(found.id).get() == 11


def test_a_group_gives_its_list_in_declared_order(drain: Drain, sub: Actor[..., int]) -> None:
    found = group(sub.message(number, 1) for number in range(5)).run()
    drain()
    assert found.get() == [-1, 0, 1, 2, 3]
    assert (found.completed_count, found.ready(), found.successful(), found.failed()) == (5, True, True, False)


def test_a_chord_gives_its_body_the_list(drain: Drain, sub: Actor[..., int], total: Actor[..., int]) -> None:
    found = chord([sub.message(number, 1) for number in range(4)], body=total.message(more=100)).run()
    drain()
    assert found.get() == 102
    assert found.parent is not None
    assert found.parent.get() == [-1, 0, 1, 2]


def test_they_nest_in_any_order(drain: Drain, sub: Actor[..., int], total: Actor[..., int], ran: list[str]) -> None:
    inner = chord([sub.message(1), chain(sub.message(2), sub.message(3))], total.message())
    found = chain(sub.message(20, 5), group(inner, sub.message(1)), total.message()).run()
    drain()
    # 15; 15-1 and 15-2-3: 24; 15-1: 14
    assert found.get() == 38
    assert ran[-1] == "total [24, 14]"


def test_an_empty_group_is_over_at_once(drain: Drain, total: Actor[..., int], sub: Actor[..., int]) -> None:
    assert group().run().get() == []
    found = chord([], total.message(more=7)).run()
    drain()
    assert found.get() == 7
    nested = chain(sub.message(3, 1), group(group([]), chord([], total.message(more=1))), total.message()).run()
    drain()
    assert nested.get() == 1


def test_what_comes_after_a_failed_step_never_runs_and_shows_why(
    drain: Drain, sub: Actor[..., int], boom: Actor[..., None], tell: Actor[..., None], told: list[Any], ran: list[str]
) -> None:
    found = chain(sub.message(2, 1), boom.message(), sub.message(1), sub.message(1)).run(on_failure=tell.message())
    assert drain() == 3
    steps = [handle(f"{found.workflow_id}.{number}") for number in (1, 2, 3, 4)]
    assert [one.status for one in steps] == ["SUCCESS", "FAILURE", "FAILURE", "FAILURE"]
    assert [str(one.result) for one in steps] == ["1", "boom", "boom", "boom"]
    assert all("Boom" in (one.traceback or "") for one in steps[1:])
    with pytest.raises(Boom):
        found.get()
    with pytest.raises(Boom):
        steps[3].get()
    assert ran == ["2-1", "boom"]
    assert told == [steps[1].id]


def test_a_failed_member_leaves_the_others_running(
    drain: Drain, sub: Actor[..., int], boom: Actor[..., None], total: Actor[..., int], ran: list[str]
) -> None:
    found = chord([sub.message(1, 1), boom.message(), sub.message(2, 1)], total.message()).run()
    drain()
    assert sorted(ran) == ["1-1", "2-1", "boom"]
    with pytest.raises(Boom):
        found.get()
    error = found.get(propagate=False)
    assert isinstance(error, ChordError)
    assert str(error) == f"Dependency {found.workflow_id}.4 raised Boom('boom')"
    assert handle(found.id).status == State.FAILURE
    header = found.parent
    assert header is not None
    mixed = header.get(propagate=False)
    assert (mixed[0], str(mixed[1]), mixed[2]) == (0, "boom", 1)
    assert (header.completed_count, header.failed(), header.successful(), header.ready()) == (2, True, False, True)


def test_groups_that_begin_with_groups_begin_to_the_last_one(drain: Drain, sub: Actor[..., int]) -> None:
    found: Any = sub.message(3, 1)
    for _ in range(5):
        found = group(found, policy="partial")
    flow = found.run()
    drain()
    assert flow.get() == [[[[[2]]]]]


def test_in_the_place_of_a_member_that_ended_in_a_group_that_failed_stands_an_exception(
    broker: RedisBroker, drain: Drain, sub: Actor[..., int], boom: Actor[..., None]
) -> None:
    got: list[Any] = []

    @actor
    def body(values: list[Any]) -> None:
        got.extend(values)

    @actor
    def goes_on() -> Any:
        return group(sub.message(1, 1), boom.message())

    ends = chain(sub.message(5, 1), group(sub.message(1), boom.message()))
    enough = chain(sub.message(5, 1), group(sub.message(1), boom.message(), policy="partial"))
    chord([ends, goes_on.message(), enough, sub.message(2, 1)], body.message(), policy="partial").run()
    drain()
    assert [str(one) for one in got] == ["boom", "boom", "[3, Boom('boom')]", "1"]


@pytest.mark.parametrize(("policy", "runs"), [("partial", True), (2, True), (0.5, True), (3, False), (0.7, False)])
def test_a_policy_says_how_many_must_succeed(
    drain: Drain, sub: Actor[..., int], boom: Actor[..., None], broker: RedisBroker, policy: Any, runs: bool
) -> None:
    got: list[Any] = []

    @actor
    def body(values: list[Any]) -> int:
        got.extend(values)
        return len(values)

    found = chord([sub.message(1, 1), boom.message(), sub.message(2, 1)], body.message(), policy=policy).run()
    drain()
    assert found.successful() == runs
    if runs:
        assert (got[0], str(got[1]), got[2]) == (0, "boom", 1)
        assert found.get() == 3


def test_callbacks_are_sent_once_with_what_they_are_told(
    drain: Drain, sub: Actor[..., int], boom: Actor[..., None], tell: Actor[..., None], told: list[Any]
) -> None:
    found = chain(
        step(sub.message(5, 1), on_success=tell.message()),
        chain(sub.message(1), sub.message(1), on_success=tell.message()),
    ).run(on_success=tell.message())
    drain()
    assert found.get() == 2
    assert sorted(told) == [2, 2, 4]
    told.clear()
    failing = chord([boom.message(), boom.message()], tell.message(), on_failure=tell.message()).run()
    drain()
    assert told == [failing.id]
    told.clear()
    several = group(boom.message(), sub.message(1, 1), chain(boom.message(), sub.message(1)), on_failure=tell.message())
    wf = several.run()
    drain()
    assert sorted(told) == [f"{wf.workflow_id}.{n}" for n in (2, 4)]


def test_immutable_steps_and_keywords(drain: Drain, sub: Actor[..., int], total: Actor[..., int]) -> None:
    found = chain(
        sub.message(9, 2),
        sub.message_with_options(args=(5, 1), immutable=True),
        step(total.message([1]), into="more"),
    ).run()
    drain()
    assert found.get() == 5


def test_arguments_of_run_go_to_the_first_step(drain: Drain, sub: Actor[..., int]) -> None:
    found = chain(sub.message(3), sub.message(1)).run(20)
    both = group(sub.message(3), sub.message(1)).run(20)
    drain()
    assert (found.get(), both.get()) == (16, [17, 19])


def test_a_delay_is_that_of_the_first_steps(drain: Drain, sub: Actor[..., int], freezer: Any) -> None:
    found = chain(sub.message(3, 1), sub.message(1)).run(delay=10)
    both = group(sub.message(3, 1), sub.message(1, 1)).run(delay=10)
    later = chain(sub.message(3, 1), step(sub.message(1), delay=10)).run()
    assert drain() == 1
    freezer.tick(10)
    assert drain() == 5
    assert (found.get(), both.get(), later.get()) == (1, [2, 0], 1)


def test_a_name_is_given_once(drain: Drain, sub: Actor[..., int]) -> None:
    found = chain(sub.message(3, 1)).run(workflow_id="nightly")
    with pytest.raises(WorkflowExists):
        chain(sub.message(3, 1)).run(workflow_id="nightly")
    drain()
    assert (found.id, workflow("nightly").get()) == ("nightly.1", 2)


def test_a_large_group_is_moved_page_by_page(
    drain: Drain, sub: Actor[..., int], total: Actor[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 3)
    monkeypatch.setattr(running, "PAGE", 4)
    found = chain(sub.message(1, 1), group(sub.message(number) for number in range(10)), total.message()).run()
    drain()
    assert found.get() == -sum(range(10))
