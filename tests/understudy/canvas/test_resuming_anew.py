"""What a resume counts anew: what is committed under a key in the name of a step, its items, and its ``expires``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, actor, chain, each, group, handle, workflow
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas import resuming
from understudy.deadletters import DeadLetters
from understudy.errors import NotResumable, ServerUnavailable
from understudy.testing.faults import Faults

Drain = Callable[..., int]

#: What the scripts decide is tested on a server too, and no more.
pytestmark = pytest.mark.brokers("stub")


class World:
    """Actors that note their runs; what is in ``broken`` fails."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.broken: set[str] = set()

        @actor(idempotency=Idempotency())
        def by_id(value: Any, *more: Any) -> Any:
            return self._run(value)

        @actor(idempotency=Idempotency(key="{value}"))
        def by_value(value: Any) -> Any:
            return self._run(value)

        @actor(idempotency=Idempotency())
        def goes_on(value: Any) -> Any:
            self._run(f"on {value}")
            return chain(by_id.message(value), by_id.message())

        @actor
        def part(*values: Any) -> Any:
            return self._run(values[0])

        self.by_id: Actor[..., Any] = by_id
        self.by_value: Actor[..., Any] = by_value
        self.goes_on: Actor[..., Any] = goes_on
        self.part: Actor[..., Any] = part

    def _run(self, value: Any) -> Any:
        self.ran.append(value)
        if str(value) in self.broken:
            raise ValueError(value)
        return value


@pytest.fixture
def world(broker: RedisBroker) -> World:
    return World()


# -- what had failed -------------------------------------------------------------------------------------------


@pytest.mark.brokers("stub", "server")
def test_a_member_whose_continuation_had_failed_runs_anew(world: World, drain: Drain) -> None:
    world.broken = {"a"}
    member = world.goes_on.message_with_options(args=("a",), immutable=True)
    flow = chain(world.part.message("first"), group(member, world.part.message()), world.part.message()).run()
    drain()
    assert flow.failed()
    world.broken = set()
    flow.resume(from_step=1)
    drain()
    assert flow.get() == ["a", "first"]


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize(("name", "nth"), [("reopen", 1), ("reopen", 2), ("extend", 1)])
def test_a_resume_that_is_cut_off_remembers_what_had_gone_on(
    world: World, drain: Drain, faults: Faults, name: str, nth: int, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "PAGE", 1)
    world.broken = {"a", "b"}
    among = group(world.goes_on.message("a"), world.part.message("b"), world.goes_on.message("c"))
    last = [world.goes_on.message_with_options(args=(value,), immutable=True) for value in ("d", "a")]
    flows = chain(among, last[0]).run(), chain(world.part.message("e"), world.part.message(), last[1]).run()
    drain()
    world.ran.clear()
    world.broken = set()
    for flow in flows:
        for _ in range(attempts):
            faults.fail(name, when="after", nth=1 if flow is flows[1] else nth)
            with pytest.raises(ServerUnavailable):
                flow.resume()
        flow.resume()
    drain()
    assert [flow.get() for flow in flows] == ["d", "a"]
    assert sorted(world.ran) == ["a"] * 4 + ["b", "d", "d", "on d"]


def test_a_step_does_not_run_anew_without_its_input(world: World, drain: Drain) -> None:
    world.broken = {"b"}
    first, second = world.part.message("a"), world.part.message_with_options(args=("b",), immutable=True)
    flow = chain(first, second, world.part.message(), world.part.message()).run()
    drain()
    for step in (3, 4):
        with pytest.raises(
            NotResumable, match=rf"{flow.workflow_id}\.{step} takes the result of .*\.{step - 1}, which"
        ):
            flow.resume(from_step=step)
    assert flow.status == "FAILURE"
    flow.resume(from_step=3, with_args=["c"])
    drain()
    assert flow.get() == "c"
    assert world.ran == ["a", "b", "c", "c"]


def test_a_handle_sees_what_others_have_resumed(world: World, drain: Drain) -> None:
    world.broken = {"a"}
    flow = chain(world.part.message("a")).run()
    drain()
    assert flow.status == "FAILURE"
    world.broken = set()
    workflow(flow.workflow_id).resume()
    drain()
    assert flow.status == "SUCCESS"


# -- idempotency -----------------------------------------------------------------------------------------------


@pytest.mark.brokers("stub", "server")
def test_a_step_that_runs_anew_does_not_answer_with_its_old_result(world: World, drain: Drain) -> None:
    both = group(world.by_id.message(), world.by_value.message())
    flow = chain(world.by_id.message(1), world.by_id.message(), both).run()
    drain()
    assert world.ran == [1, 1, 1, 1]
    world.ran.clear()
    flow.resume(from_step=1, with_args=[2])
    drain()
    assert flow.get() == [2, 2]
    assert world.ran == [2, 2, 2, 2]
    world.ran.clear()
    flow.resume(from_step=2)
    drain()
    assert flow.get() == [2, 2]
    assert world.ran == [2, 2, 2], "all but step 1"


def test_one_that_went_on_as_a_part_of_its_workflow_runs_anew(world: World, drain: Drain) -> None:
    flow = chain(world.part.message(0), world.goes_on.message(), world.by_id.message()).run()
    drain()
    assert (flow.get(), world.ran) == (0, [0, "on 0", 0, 0, 0])
    world.ran.clear()
    flow.resume(from_step=2, with_args=[5])
    drain()
    assert (flow.get(), world.ran) == (5, ["on 5", 5, 5, 5])


def test_what_another_message_has_committed_under_the_key_is_the_answer_still(world: World, drain: Drain) -> None:
    world.by_value.send(7)
    drain()
    flow = chain(world.part.message(7), world.by_value.message()).run()
    drain()
    flow.resume(from_step=2)
    drain()
    assert flow.get() == 7
    assert world.ran == [7, 7]


@pytest.mark.brokers("server")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["claim", "settle"])
def test_a_worker_that_dies_at_a_step_that_runs_anew(
    world: World, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory, name: str, when: Any
) -> None:
    flow = chain(world.by_id.message(1), world.part.message()).run()
    drain()
    world.ran.clear()
    flow.resume(from_step=1, with_args=[2])
    faults.kill_at(name, when=when)
    for _ in range(3):
        drain()
        freezer.tick(60)
    assert faults.planned == 0
    assert flow.get() == 2
    assert world.ran[-1] == 2
    assert world.ran.count(2) == 2 + ((name, when) == ("settle", "before"))


@pytest.mark.brokers("stub", "server")
@pytest.mark.parametrize("idempotency", [None, Idempotency()])
def test_a_step_that_runs_anew_does_its_items_anew(broker: RedisBroker, drain: Drain, idempotency: Any) -> None:
    ran: list[int] = []

    @actor(idempotency=idempotency)
    def body(numbers: list[int]) -> None:
        ran.extend(each(numbers, key=str))

    flow = chain(body.message([1, 2])).run()
    drain()
    flow.resume(from_step=1, with_args=[[2, 3]])
    drain()
    assert flow.successful()
    assert ran == [1, 2, 2, 3]


def test_a_step_that_failed_goes_on_where_it_stopped(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor
    def body(numbers: list[int]) -> None:
        for number in each(numbers, key=str):
            ran.append(number)
            if ran == [1, 2]:
                raise ValueError

    flow = chain(body.message([1, 2, 3])).run()
    drain()
    flow.resume()
    drain()
    assert ran == [1, 2, 2, 3]


# -- expires ---------------------------------------------------------------------------------------------------


def late(world: World, drain: Drain, freezer: FrozenDateTimeFactory, **expiry: Any) -> Any:
    """A workflow that failed, and was resumed when the time of its steps was over."""
    first, last = (world.part.message_with_options(args=("a", "b")[at:], **expiry) for at in (0, 1))
    member = world.part.message_with_options(args=("m",), immutable=True, **expiry)
    world.broken = {"a"}
    flow = chain(first, group(member, member), last).run()
    drain()
    freezer.tick(3_600)
    world.broken = set()
    flow.resume()
    return flow


@pytest.mark.brokers("stub", "server")
def test_a_resume_gives_all_steps_their_span_anew(world: World, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = late(world, drain, freezer, expires=60)
    freezer.tick(59)
    drain()
    assert flow.get() == ["m", "m"]
    assert world.ran == ["a", "a", "m", "m", ["m", "m"]]


def test_it_counts_from_the_resume(world: World, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    flow = late(world, drain, freezer, expires=60)
    freezer.tick(60)
    drain()
    assert (flow.status, world.ran) == ("REVOKED", ["a"])


def test_a_time_that_was_named_is_as_far_away_as_it_was(
    world: World, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    flow = late(world, drain, freezer, expires=datetime(2026, 3, 1, 12, 1, tzinfo=UTC))
    freezer.tick(59)
    drain()
    assert flow.successful()


def test_what_the_actor_declares_is_counted_anew(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    fails = [True]

    @actor(expires=60)
    def body() -> None:
        if fails:
            raise ValueError

    flow = chain(body.message()).run()
    drain()
    fails.clear()
    freezer.tick(3_600)
    flow.resume()
    drain()
    assert flow.successful()


def test_a_dead_letter_of_a_step_that_is_requeued_has_its_span_anew(
    world: World, broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    world.broken = {"a"}
    flow = chain(world.part.message_with_options(args=("a",), expires=60), world.part.message()).run()
    drain()
    freezer.tick(3_600)
    world.broken = set()
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    assert letters.requeue(letter) == "requeued"
    drain()
    assert flow.get() == "a"


def test_whether_it_was_resumed_must_be_known(
    world: World, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    flow = late(world, drain, freezer, expires=60)
    faults.fail("HMGET", times=1)
    drain()
    assert world.ran == ["a"]
    freezer.tick(10)
    drain()
    assert flow.successful()
    assert handle(f"{flow.workflow_id}.1").retries == 0
