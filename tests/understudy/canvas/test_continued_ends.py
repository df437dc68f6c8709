"""A message that goes on as a workflow ends when that does: its callbacks, its unique lock, and revoking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from understudy import AlreadyEnqueued, Idempotency, Retry, Unique, actor, chain, chord, group, handle, revoke, step
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas import workflow
from understudy.execution import current
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]

#: What the scripts decide is tested on a server too, and no more.
pytestmark = pytest.mark.brokers("stub")


class World:
    """An actor that goes on, as what it is told; what its parts have done, and who was told what."""

    def __init__(self, **options: Any) -> None:
        self.ran: list[Any] = []
        self.told: list[Any] = []
        self.broken: set[str] = set()
        self.revokes = False

        @actor
        def part(value: Any, *more: Any) -> Any:
            self.ran.append(value)
            if value == "skip":
                raise SkipMessage
            if str(value) in self.broken:
                raise ValueError(value)
            return value

        @actor
        def good(id: str, result: Any, *more: Any) -> None:
            self.told.append(("good", id, result, *more))

        @actor
        def bad(id: str, error: Any, *more: Any) -> None:
            self.told.append(("bad", id, error, *more))

        @actor(on_success=good, on_failure=[bad.message("x")], **options)
        def goes_on(kind: str, value: Any = "a") -> Any:
            self.ran.append("on")
            if self.revokes:
                execution = current()
                assert execution is not None
                revoke(execution.message_id)
            one = part.message(value)
            again = part.message_with_options(args=(value,), immutable=True)
            if kind == "group":
                return group(one, chain(one, again))
            if kind == "chord":
                return chord([one, one], part.message())
            if kind == "again":
                return chain(goes_on.message("chain", value))
            if kind == "late":
                return chain(step(one, delay=60), again)
            return chain(one, again)

        self.part: Actor[..., Any] = part
        self.good: Actor[..., Any] = good
        self.bad: Actor[..., Any] = bad
        self.goes_on: Actor[..., Any] = goes_on


@pytest.fixture
def world(broker: RedisBroker) -> World:
    return World()


BROKEN = {"type": "builtins.ValueError", "text": "a"}

# -- callbacks -------------------------------------------------------------------------------------------------


@pytest.mark.brokers("stub", "server")
@pytest.mark.parametrize(("kind", "value"), [("chain", "a"), ("group", ["a", "a"]), ("chord", ["a", "a"])])
def test_success_is_told_once_and_with_what_it_came_to(world: World, drain: Drain, kind: str, value: Any) -> None:
    message = world.goes_on.send(kind)
    drain()
    assert world.told == [("good", message.message_id, value)]


@pytest.mark.brokers("stub", "server")
@pytest.mark.parametrize("kind", ["chain", "group", "chord"])
def test_failure_is_told_once_with_its_cause_and_before_its_own_arguments(
    world: World, drain: Drain, kind: str
) -> None:
    world.broken = {"a"}
    message = world.goes_on.send(kind)
    drain()
    ((word, id, error, more),) = world.told
    assert (word, id, more) == ("bad", message.message_id, "x")
    assert error == (BROKEN if kind != "chord" else {"type": "understudy.errors.ChordError", "text": error["text"]})
    assert handle(message).status == "FAILURE"


def test_nobody_is_told_before_it_has_ended(world: World, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    message = world.goes_on.send("late")
    drain()
    assert (world.ran, world.told) == (["on"], [])
    freezer.tick(60)
    drain()
    assert world.told == [("good", message.message_id, "a")]


@pytest.mark.parametrize("broken", [False, True])
def test_one_that_goes_on_in_the_place_of_another_tells_of_both(world: World, drain: Drain, broken: bool) -> None:
    world.broken = {"a"} if broken else set()
    message = world.goes_on.send("again")
    drain()
    inner = str(handle(message).read().text("instead"))
    word, value = ("bad", (BROKEN, "x")) if broken else ("good", ("a",))
    first = f"{inner.rpartition('.')[0]}.1"
    assert sorted(world.told) == sorted([(word, message.message_id, *value), (word, first, *value)])


@pytest.mark.parametrize("broken", [False, True])
def test_a_step_tells_when_what_goes_on_in_its_place_has_ended(world: World, drain: Drain, broken: bool) -> None:
    world.broken = {"a"} if broken else set()
    flow = chain(world.goes_on.message("group"), world.part.message()).run()
    among = group(world.goes_on.message("chain"), world.part.message(1)).run()
    drain()
    word, more = ("bad", (BROKEN, "x")) if broken else ("good", ())
    ids = [f"{flow.workflow_id}.1", f"{among.workflow_id}.2"]
    assert sorted((told[:2] for told in world.told), key=str) == sorted(((word, id) for id in ids), key=str)
    if broken:
        assert {told[2:] == more for told in world.told} == {True}


def test_what_the_message_says_counts_before_what_the_actor_does(world: World, drain: Drain) -> None:
    message = world.goes_on.send_with_options(args=("chain",), on_success=world.good.message("mine"))
    drain()
    assert world.told == [("good", message.message_id, "a", "mine")]


def test_a_callback_that_cannot_be_sent_is_left_out(
    world: World, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    message = world.goes_on.send_with_options(args=("chain",), on_success=["nobody", "good"])
    drain()
    assert world.told == [("good", message.message_id, "a")]
    assert "its callback nobody cannot be sent, and is left out" in caplog.text


@pytest.mark.parametrize("how", ["message", "workflow", "part", "skip"])
def test_what_was_revoked_or_skipped_has_not_failed(
    world: World, drain: Drain, freezer: FrozenDateTimeFactory, how: str
) -> None:
    message = world.goes_on.send("late", "skip" if how == "skip" else "a")
    drain()
    inner = str(handle(message).read().text("instead")).rpartition(".")[0]
    if how != "skip":
        handle({"message": message.message_id, "workflow": inner, "part": f"{inner}.2"}[how]).revoke()
    freezer.tick(60)
    drain()
    assert handle(message).status == "REVOKED"
    assert world.told == []


def test_a_failure_is_told_and_then_the_success_of_the_resume(world: World, drain: Drain) -> None:
    world.broken = {"a"}
    message = world.goes_on.send("chain")
    drain()
    inner = str(handle(message).read().text("instead")).rpartition(".")[0]
    world.broken = set()
    workflow(inner).resume()
    drain()
    assert [told[0] for told in world.told] == ["bad", "good"]


def test_a_failure_that_is_told_after_the_resume_says_so(
    broker: RedisBroker, world: World, drain: Drain, faults: Faults
) -> None:
    world.broken = {"a"}
    message = world.goes_on.send("chain")
    worker = StepWorker(broker, faults)
    while handle(message).status != "FAILURE":
        worker.run_once()
    assert world.told == []
    world.broken = set()
    inner = str(handle(message).read().text("instead")).rpartition(".")[0]
    workflow(inner).resume()
    worker.drain()
    assert [told[0] for told in world.told] == ["bad", "good"]
    assert world.told[0][2]["text"] == "it failed, and was resumed before this was told"


@pytest.mark.brokers("server")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "nth", "broken"),
    [("compose", 1, False), ("settle", 1, False), ("settle", 2, True), ("settle", 3, True), ("settle", 3, False)],
)
def test_whoever_dies_all_is_told_once(
    broker: RedisBroker,
    drain: Drain,
    faults: Faults,
    freezer: FrozenDateTimeFactory,
    name: str,
    nth: int,
    when: Any,
    broken: bool,
) -> None:
    world = World(unique=Unique(key="{value}"))
    world.broken = {"a"} if broken else set()
    message = world.goes_on.send("chain")
    faults.kill_at(name, nth=nth, when=when)
    for _ in range(3):
        if not handle(message).ready():
            assert refused(lambda: world.goes_on.send("chain")) == message.message_id
        drain()
        freezer.tick(60)
    assert faults.planned == 0
    assert {told[:2] for told in world.told} == {("bad" if broken else "good", message.message_id)}
    # What is told is told by a body, which runs again if its own outcome is not committed.
    assert len(world.told) == 1 + (broken and (name, nth, when) == ("settle", 3, "before"))
    world.goes_on.send("chain")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "within"), [("compose", False), ("extend", True), ("compose", True), ("settle", True)]
)
def test_when_a_line_is_cut_all_is_told_once(
    broker: RedisBroker,
    drain: Drain,
    faults: Faults,
    freezer: FrozenDateTimeFactory,
    name: str,
    within: bool,
    when: Any,
) -> None:
    world = World()
    if within:
        flow = chain(world.goes_on.message("group"), world.part.message()).run()
        faults.fail(name, when=when)
    else:
        faults.fail(name, when=when)
        message = world.goes_on.send("group")
    for _ in range(3):
        drain()
        freezer.tick(60)
    assert faults.planned == 0
    assert world.told == [("good", f"{flow.workflow_id}.1" if within else message.message_id, ["a", "a"])]


# -- the unique lock -------------------------------------------------------------------------------------------


def refused(send: Callable[[], Any]) -> str:
    """The id of the message that stands."""
    with pytest.raises(AlreadyEnqueued) as told:
        send()
    return told.value.message_id


@pytest.mark.brokers("stub", "server")
@pytest.mark.parametrize("end", ["success", "failure", "revoked"])
def test_it_stands_until_what_goes_on_in_its_place_has_ended(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, end: str
) -> None:
    world = World(unique=Unique(key="{value}"))
    message = world.goes_on.send("late")
    drain()
    assert refused(lambda: world.goes_on.send("late")) == message.message_id
    world.goes_on.send("late", "another")
    world.broken = {"a"} if end == "failure" else set()
    if end == "revoked":
        handle(message).revoke()
    else:
        freezer.tick(60)
        assert refused(lambda: world.goes_on.send("late")) == message.message_id
        drain()
    assert handle(message).ready()
    world.goes_on.send("late")


def test_it_lets_the_next_one_in_when_it_has_started_if_that_is_enough(broker: RedisBroker, drain: Drain) -> None:
    world = World(unique=Unique(key="{value}", until="started"))
    world.goes_on.send("late")
    drain()
    world.goes_on.send("late")


def test_it_stands_again_when_it_is_resumed(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    world = World(unique=Unique(key="{value}"))
    world.broken = {"a"}
    message = world.goes_on.send("chain")
    drain()
    world.broken = set()
    workflow(str(handle(message).read().text("instead")).rpartition(".")[0]).resume()
    assert refused(lambda: world.goes_on.send("chain")) == message.message_id
    drain()
    world.goes_on.send("chain")


def test_its_time_bounds_it_as_ever(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    world = World(unique=Unique(key="{value}", ttl=30))
    world.goes_on.send("late")
    drain()
    freezer.tick(29)
    refused(lambda: world.goes_on.send("late"))
    freezer.tick(1)
    world.goes_on.send("late")


# -- revoking --------------------------------------------------------------------------------------------------


@pytest.mark.brokers("stub", "server")
@pytest.mark.parametrize("kind", ["chain", "group"])
def test_what_a_revoked_body_returns_is_not_begun(broker: RedisBroker, drain: Drain, kind: str) -> None:
    world = World(unique=Unique(key="{value}"), idempotency=Idempotency(key="{value}"), retry=Retry())
    world.revokes = True
    message = world.goes_on.send(kind)
    drain()
    assert (world.ran, world.told) == (["on"], [])
    assert handle(message).status == "REVOKED"
    assert broker.size("default") == 0
    world.revokes = False
    second = world.goes_on.send(kind)
    drain()
    assert handle(second).status == "SUCCESS", "lock and claim are free"


def test_what_a_revoked_step_returns_is_not_begun(world: World, broker: RedisBroker, drain: Drain) -> None:
    world.revokes = True
    flow = chain(world.goes_on.message("chain"), world.part.message("next")).run(on_failure=world.bad.message("all"))
    drain()
    assert world.ran == ["on"]
    assert [handle(f"{flow.workflow_id}.{node}").status for node in (1, 2)] == ["REVOKED", "REVOKED"]
    assert world.told == [("bad", f"{flow.workflow_id}.1", "all")]
    assert broker.size("default") == 0


def test_a_revoked_body_that_returns_a_result_has_succeeded(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> str:
        execution = current()
        assert execution is not None
        revoke(execution.message_id)
        return "done"

    message = body.send()
    drain()
    assert handle(message).get() == "done"
