"""Workflows, and steps of them, are revoked; nobody waits in vain, and what is over is swept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import SOON, working
from understudy import actor, chain, chord, group, handle, step
from understudy.actors import Actor
from understudy.brokers import workflows
from understudy.brokers.delays import cancel
from understudy.brokers.redis import RedisBroker
from understudy.errors import ChordError, Revoked, WorkflowError
from understudy.plans import pages

Drain = Callable[..., int]


@pytest.fixture
def ran() -> list[Any]:
    return []


@pytest.fixture
def body(broker: RedisBroker, ran: list[Any]) -> Actor[..., Any]:
    @actor
    def body(*values: Any) -> Any:
        ran.append(values)
        return len(ran)

    return body


@pytest.fixture
def tell(broker: RedisBroker) -> Actor[..., Any]:
    @actor
    def tell(id: str) -> str:
        return id

    return tell


def statuses(found: Any, *nodes: int) -> list[str]:
    return [handle(f"{found.workflow_id}.{node}").status.value for node in nodes]


def test_a_workflow_that_waits_is_revoked_whole(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], tell: Actor[..., Any], ran: list[Any]
) -> None:
    found = chain(group(body.message(), body.message()), body.message()).run(on_failure=tell.message())
    assert found.revoke() == "REVOKED"
    assert statuses(found, 1, 2, 3, 4) == ["REVOKED"] * 4
    with pytest.raises(Revoked):
        found.get()
    drain()
    assert ran == []
    assert statuses(found, 1, 2, 3, 4) == ["REVOKED"] * 4
    assert found.revoke() == "REVOKED"
    assert broker.size("default") == 0


def test_members_that_were_not_moved_yet_never_are(
    broker: RedisBroker,
    drain: Drain,
    body: Actor[..., Any],
    ran: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    faults: Any,
) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    faults.fail("fan", nth=2)
    found = group(body.message() for _ in range(7)).run()
    found.revoke()
    drain()
    assert (ran, workflows.fan(broker)) == ([], 0)


def test_a_step_is_revoked_before_its_turn(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], ran: list[Any]
) -> None:
    found = chain(body.message(1), body.message(2), body.message(3)).run()
    handle(f"{found.workflow_id}.2").revoke()
    assert statuses(found, 2, 3) == ["REVOKED", "REVOKED"]
    with pytest.raises(Revoked):
        found.get()
    drain()
    assert ran == [(1,)]


@pytest.mark.parametrize("how", ["revoke", "cancel"])
def test_a_member_that_waits_for_its_time_is_revoked(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], freezer: Any, how: str, ran: list[Any]
) -> None:
    found = chord([body.message(1), step(body.message(2), delay=60)], body.message()).run()
    drain()
    member = f"{found.workflow_id}.4"
    if how == "revoke":
        handle(member).revoke()
    else:
        assert cancel(broker, "default", member) == 1
    assert statuses(found, 2, 4) == ["FAILURE", "REVOKED"]
    error = found.get(propagate=False)
    assert isinstance(error, ChordError)
    assert "Revoked('revoked')" in str(error)
    with pytest.raises(Revoked):
        found.get()
    freezer.tick(120)
    drain()
    assert ran == [(1,)]


def test_a_partial_chord_goes_on_without_the_one_that_was_revoked(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], freezer: Any, ran: list[Any]
) -> None:
    found = chord([body.message(1), step(body.message(2), delay=60)], body.message(), policy="partial").run()
    drain()
    handle(f"{found.workflow_id}.4").revoke()
    drain()
    assert found.successful()
    assert isinstance(ran[-1][0][1], Revoked)


def test_a_group_alone_is_not_revoked(broker: RedisBroker, body: Actor[..., Any]) -> None:
    found = chain(group(body.message()), body.message()).run()
    assert found.parent is not None
    with pytest.raises(WorkflowError, match="revoke its members, or the workflow"):
        found.parent.revoke()


def test_what_follows_a_skipped_step_is_revoked(broker: RedisBroker, drain: Drain, body: Actor[..., Any]) -> None:
    @actor
    def skips(*_: Any) -> None:
        raise SkipMessage

    found = chain(skips.message(), body.message()).run()
    among = chord([skips.message(), body.message()], body.message()).run()
    drain()
    assert statuses(found, 1, 2) == ["SUCCESS", "REVOKED"]
    assert statuses(among, 2) == ["FAILURE"]


def test_a_workflow_whose_last_step_skips_itself_has_ended_well(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], tell: Actor[..., Any], ran: list[Any]
) -> None:
    """Nothing was to follow, so nothing was stopped: as with a message by itself (S12)."""

    @actor
    def skips(*_: Any) -> None:
        raise SkipMessage

    found = chain(body.message(), skips.message()).run(on_success=body.message("good"), on_failure=tell.message())
    drain()
    assert (found.status.value, found.get()) == ("SUCCESS", None)
    assert broker.storage.client.hget(broker.storage.keys.workflow(found.workflow_id), "state") == b"SUCCESS"
    assert ran[1:] == [(None, "good")]


@pytest.mark.brokers("server")
@pytest.mark.parametrize("terminate", [False, True])
def test_a_running_workflow_is_revoked(broker: RedisBroker, terminate: bool) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    @actor
    def slow(value: Any = None) -> None:
        begun.set()
        try:
            while not go_on.wait(0.01):
                pass
        finally:
            ended.set()

    found = chain(slow.message(), slow.message()).run()
    with working(broker):
        assert begun.wait(SOON)
        found.revoke(terminate=terminate)
        with pytest.raises(Revoked):
            found.get(timeout=SOON)
        if not terminate:
            assert not ended.is_set()
            go_on.set()
        assert ended.wait(SOON)
        broker.join("default", timeout=int(SOON * 1000))
    assert statuses(found, 1, 2) == ["REVOKED" if terminate else "SUCCESS", "REVOKED"]


def test_what_is_over_is_swept(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], freezer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "SWEEP_PAGE", 2)
    found = chain(body.message(), group(body.message() for _ in range(4)), body.message()).run()
    drain()
    assert found.successful()
    freezer.tick(broker.settings.result_ttl - 1)
    drain()
    assert statuses(found, 1, 6) == ["SUCCESS", "SUCCESS"]
    freezer.tick(2)
    assert not found.exists()
    assert workflows.sweep(broker) == 7
    left = {key.decode() for key in broker.storage.client.scan_iter(match=f"*{found.workflow_id}*")}
    assert left == set()


def test_a_workflow_that_goes_on_for_long_forgets_nothing(
    broker: RedisBroker, drain: Drain, body: Actor[..., Any], freezer: Any, ran: list[Any]
) -> None:
    found = chain(body.message(), step(body.message(), delay=30 * 86_400)).run()
    drain()
    freezer.tick(30 * 86_400)
    drain()
    assert found.get() == 2
    assert ran[1] == (1,)


def test_it_is_forgotten_when_it_has_ended(broker: RedisBroker, drain: Drain, body: Actor[..., Any]) -> None:
    found = group(body.message(), body.message()).run()
    with pytest.raises(WorkflowError, match="has not ended"):
        found.forget()
    drain()
    found.forget()
    drain()
    assert not found.exists()
    assert statuses(found, 1, 2) == ["PENDING", "PENDING"]


def test_what_goes_on_in_the_place_of_a_message_is_revoked_with_it(
    drain: Drain, freezer: FrozenDateTimeFactory, body: Actor[..., Any], ran: list[Any]
) -> None:
    @actor
    def outer() -> Any:
        return chain(step(body.message(1), delay=60), body.message(2))

    message = outer.send()
    drain()
    assert handle(message).status == "STARTED"
    assert handle(message).revoke() == "REVOKED"
    assert handle(message).status == "REVOKED"
    with pytest.raises(Revoked):
        handle(message).get()
    freezer.tick(60)
    drain()
    assert ran == []
    assert handle(message).revoke() == "REVOKED"


def test_revoked_in_a_chain_nothing_of_it_runs_and_nothing_follows(
    drain: Drain, freezer: FrozenDateTimeFactory, body: Actor[..., Any], ran: list[Any]
) -> None:
    @actor
    def deeper() -> Any:
        return group(step(body.message(1), delay=60), chain(step(body.message(2), delay=60), body.message(3)))

    @actor
    def outer() -> Any:
        return chain(deeper.message(), body.message(4))

    found = chain(outer.message(), body.message(5)).run()
    drain()
    drain()
    first = handle(f"{found.workflow_id}.1")
    assert first.status == "STARTED"
    assert first.revoke() == "REVOKED"
    assert (first.status, found.status) == ("REVOKED", "REVOKED")
    freezer.tick(60)
    drain()
    assert ran == []


def test_what_has_succeeded_in_the_place_of_a_message_stays(drain: Drain, body: Actor[..., Any]) -> None:
    @actor
    def outer() -> Any:
        return chain(body.message())

    alone, found = outer.send(), chain(outer.message(), body.message()).run()
    drain()
    for one in (handle(alone), handle(f"{found.workflow_id}.1")):
        assert one.revoke() == "SUCCESS"
        assert one.status == "SUCCESS"
    assert found.status == "SUCCESS"


def test_who_looks_before_a_body_has_gone_on_looks_again(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    body: Actor[..., Any],
    ran: list[Any],
) -> None:
    """Between the look and the script the body has returned a canvas."""

    @actor
    def outer() -> Any:
        return chain(step(body.message(), delay=60))

    message = outer.send()
    storage = broker.storage
    looked: list[bool] = []
    real = storage.call

    def call(command: str, *args: Any, **options: Any) -> Any:
        found = real(command, *args, **options)
        if command == "HMGET" and args[0] == storage.keys.state(message.message_id) and "by" in args and not looked:
            looked.append(True)
            drain()
        return found

    monkeypatch.setattr(storage, "call", call)
    assert handle(message).revoke() == "REVOKED"
    freezer.tick(60)
    drain()
    assert ran == []
