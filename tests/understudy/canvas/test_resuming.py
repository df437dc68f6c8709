"""Workflows that have failed are taken up again: what failed runs, and what depends on it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy import actor, chain, chord, group, handle, workflow
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas import resuming
from understudy.canvas.handles import WorkflowHandle
from understudy.deadletters import DeadLetters
from understudy.errors import NotResumable, ServerUnavailable, WorkflowError
from understudy.plans import pages
from understudy.testing.faults import Faults

Drain = Callable[..., int]


class World:
    """Actors that note their runs; what is in ``broken`` fails."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken: set[str] = set()
        self.told: list[str] = []

        @actor
        def part(*values: Any) -> Any:
            name = str(values[-1])
            self.ran.append(name)
            if name in self.broken:
                raise ValueError(name)
            return name

        @actor
        def join(values: list[Any], *more: Any) -> str:
            self.ran.append("join")
            return "+".join(map(str, values))

        @actor
        def tell(id: str) -> None:
            self.told.append(id)

        self.part: Actor[..., Any] = part
        self.join: Actor[..., str] = join
        self.tell: Actor[..., None] = tell


@pytest.fixture
def world(broker: RedisBroker) -> World:
    return World()


def test_a_chain_goes_on_at_the_step_that_failed(world: World, drain: Drain) -> None:
    world.broken = {"b"}
    found = chain(world.part.message(name) for name in "abc").run(on_failure=world.tell.message())
    drain()
    assert found.failed()
    world.broken = set()
    world.ran.clear()
    found.resume()
    assert [handle(f"{found.workflow_id}.{node}").status for node in (1, 2, 3)] == ["SUCCESS", "PENDING", "PENDING"]
    drain()
    assert found.get() == "c"
    assert world.ran == ["b", "c"]
    assert len(world.told) == 1
    with pytest.raises(NotResumable, match="has succeeded"):
        found.resume()


def test_it_may_fail_again_and_be_resumed_again(world: World, drain: Drain) -> None:
    world.broken = {"b"}
    found = chain(world.part.message(name) for name in "abc").run(on_failure=world.tell.message())
    drain()
    found.resume()
    drain()
    assert found.failed()
    assert world.told == [f"{found.workflow_id}.2"] * 2
    world.broken = set()
    found.resume()
    drain()
    assert found.get() == "c"


def nested(world: World) -> WorkflowHandle:
    member = chain(world.part.message("c"), world.part.message("d"))
    inner = chord([world.part.message("e"), world.part.message("f")], world.join.message())
    return chain(
        world.part.message("a"),
        group(world.part.message("b"), member, inner, world.part.message("g")),
        world.join.message(),
    ).run()


@pytest.mark.parametrize(
    ("broken", "again"),
    [
        ({"b"}, ["b", "join"]),
        ({"c"}, ["c", "d", "join"]),
        ({"d", "g"}, ["d", "g", "join"]),
        ({"f"}, ["f", "join", "join"]),
        ({"b", "c", "e", "f", "g"}, ["b", "c", "d", "e", "f", "g", "join", "join"]),
        ({"a"}, ["a", "b", "c", "d", "e", "f", "g", "join", "join"]),
    ],
)
def test_only_what_failed_and_what_depends_on_it_runs(
    world: World, drain: Drain, broken: set[str], again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "PAGE", 2)
    monkeypatch.setattr(pages, "PAGE", 2)
    world.broken = broken
    found = nested(world)
    drain()
    assert found.failed()
    world.broken = set()
    world.ran.clear()
    found.resume()
    drain()
    assert found.get() == "b+d+e+f+g"
    assert sorted(world.ran) == again


@pytest.mark.parametrize("name", ["reopen", "extend", "compose", "relaunch"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resume_that_is_cut_off_is_done_again(
    world: World, drain: Drain, faults: Faults, name: str, when: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "PAGE", 1)
    world.broken = {"b", "d", "f"}
    found = nested(world)
    drain()
    world.broken = set()
    world.ran.clear()
    faults.fail(name, when=when)
    with pytest.raises(ServerUnavailable):
        found.resume()
    if (name, when) != ("relaunch", "after"):
        assert drain() == 0
        found.resume()
    drain()
    assert found.get() == "b+d+e+f+g"
    assert sorted(world.ran) == ["b", "d", "f", "join", "join"]


def test_a_requeued_dead_letter_lets_its_workflow_go_on(world: World, drain: Drain, broker: RedisBroker) -> None:
    world.broken = {"b", "c"}
    found = nested(world)
    drain()
    world.broken = set()
    world.ran.clear()
    letters = DeadLetters(broker.storage)
    first, second = sorted(letters.walk(), key=lambda letter: letter.message_id)
    assert letters.requeue(first) == "requeued"
    drain()
    assert found.failed()
    assert letters.requeue(second) == "requeued"
    drain()
    assert found.get() == "b+d+e+f+g"
    assert sorted(world.ran) == ["b", "c", "d", "join"]
    assert list(letters.walk()) == []


def test_a_dead_letter_and_a_resume_do_not_run_a_step_twice(world: World, drain: Drain, broker: RedisBroker) -> None:
    world.broken = {"b"}
    found = chain(world.part.message(name) for name in "abc").run()
    drain()
    world.broken = set()
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    found.resume()
    assert letters.requeue(letter) == "gone"
    drain()
    assert letters.requeue(letter) == "succeeded"
    assert world.ran == ["a", "b", "b", "c"]


def test_a_member_that_its_group_went_on_without_is_not_requeued(
    world: World, drain: Drain, broker: RedisBroker
) -> None:
    world.broken = {"a"}
    found = chord([world.part.message("a"), world.part.message("b")], world.join.message(), policy="partial").run()
    drain()
    assert found.successful()
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    with pytest.raises(NotResumable, match="gone on without"):
        letters.requeue(letter)


def test_from_a_step_on_everything_runs_anew(world: World, drain: Drain) -> None:
    found = nested(world)
    drain()
    world.ran.clear()
    first = workflow(f"{found.workflow_id}.1")
    found.resume(from_step=first, with_args=["z"])
    drain()
    assert first.get() == "z"
    assert found.get() == "b+d+e+f+g"
    assert sorted(world.ran) == ["b", "c", "d", "e", "f", "g", "join", "join", "z"]
    world.ran.clear()
    found.resume(from_step=3)
    drain()
    assert (found.get(), world.ran) == ("b+d+e+f+g", ["join"])
    with pytest.raises(NotResumable, match="not a step of the outermost chain"):
        found.resume(from_step=2)
    wrong: Any
    for wrong in ("other.1", 1.5, True):
        with pytest.raises(TypeError, match="from_step is a step of workflow"):
            found.resume(from_step=wrong)
    with pytest.raises(TypeError, match="with_args is a list or tuple of arguments, not str"):
        found.resume(from_step=1, with_args="abc")
    with pytest.raises(TypeError, match="missing"):
        found.resume(with_args=[1])


def test_what_cannot_be_resumed_says_why(world: World, drain: Drain) -> None:
    found = chain(world.part.message("a"), world.part.message("b")).run()
    with pytest.raises(NotResumable, match="has not ended"):
        found.resume()
    found.revoke()
    with pytest.raises(NotResumable, match="was revoked"):
        found.resume()
    with pytest.raises(WorkflowError, match="no workflow"):
        workflow("nobody").resume()
