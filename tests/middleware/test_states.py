"""State and result of a message, by id (group S)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from middleware import states
from understudy import actor, chain, handle
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import ResultTooLarge, SerializationError, WorkflowError
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


@pytest.mark.parametrize("tracked", [True, False])
def test_s03_a_running_body_shows_started_when_tracked(broker: SettlingBroker, drain: Drain, tracked: bool) -> None:
    seen: list[tuple[str, object]] = []

    @actor(track_started=tracked)
    def body() -> None:
        found = handle(message)
        seen.append((found.status, found.info))

    message = body.send()
    assert handle(message).status == "PENDING"
    drain()
    state, info = seen[0]
    assert state == ("STARTED" if tracked else "PENDING")
    assert (isinstance(info, dict) and sorted(info) == ["hostname", "pid"]) is tracked
    assert handle(message).status == "SUCCESS"


@pytest.mark.parametrize(("said", "expected"), [(None, "PENDING"), (True, "STARTED")])
def test_s03_an_installation_may_show_started_only_where_an_actor_says_so(
    broker: SettlingBroker, drain: Drain, said: bool | None, expected: str
) -> None:
    broker.settings = broker.settings.model_copy(update={"track_started": False})
    seen: list[str] = []

    @actor(track_started=said)
    def body() -> None:
        seen.append(handle(message).status)

    message = body.send()
    drain()
    assert seen == [expected]


def test_s06_a_failure_is_the_original_exception(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> None:
        raise KeyError("a", 1)

    message = body.send()
    drain()
    found = handle(message)
    assert (found.ready(), found.failed(), found.successful()) == (True, True, False)
    with pytest.raises(KeyError) as caught:
        found.get()
    assert caught.value.args == ("a", 1)
    assert isinstance(found.get(propagate=False), KeyError)
    assert "in body" in (found.traceback or "")
    assert found.date_done is not None


def test_s09_the_record_ends_exactly_with_its_ttl(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(result_ttl=60)
    def body() -> int:
        return 1

    message = body.send()
    freezer.tick(3_600)  # before it ran nothing expires
    drain()
    freezer.tick(59.999)
    assert handle(message).status == "SUCCESS"
    freezer.tick(0.001)
    assert handle(message).status == "PENDING"
    assert not handle(message).exists()


def test_the_default_ttl_is_a_setting(broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor
    def body() -> int:
        return 1

    message = body.send()
    drain()
    freezer.tick(broker.settings.result_ttl - 0.001)
    assert handle(message).status == "SUCCESS"
    freezer.tick(0.001)
    assert handle(message).status == "PENDING"


def test_s11_an_ignored_result_keeps_the_state(broker: SettlingBroker, drain: Drain) -> None:
    @actor(ignore_result=True)
    def body() -> object:
        return object()

    message = body.send()
    drain()
    assert handle(message).status == "SUCCESS"
    assert handle(message).get() is None


def test_s12_a_body_that_skips_itself_leaves_nobody_waiting(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> None:
        raise SkipMessage("nothing to do")

    message = body.send()
    drain()
    assert handle(message).status == "SUCCESS"
    assert handle(message).get() is None


def test_s18_a_result_that_cannot_travel_is_a_failure(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> object:
        return {"x": [object()]}

    message = body.send()
    drain()
    with pytest.raises(SerializationError, match=r"x.*0"):
        handle(message).get()


def test_a_result_that_is_too_large_is_a_failure_that_says_so(broker: SettlingBroker, drain: Drain) -> None:
    broker.settings = broker.settings.model_copy(update={"max_result_size": 1_024})

    @actor
    def body(size: int) -> str:
        return "x" * size

    fits, too_large = body.send(1_022), body.send(1_023)
    drain()
    assert handle(fits).status == "SUCCESS"
    with pytest.raises(ResultTooLarge, match="UNDERSTUDY_MAX_RESULT_SIZE"):
        handle(too_large).get()


@pytest.mark.parametrize("fails", [True, False])
def test_s19_terminal_is_terminal(broker: SettlingBroker, step_worker: StepWorker, fails: bool) -> None:
    ran: list[int] = []

    @actor
    def body() -> int:
        ran.append(1)
        if fails:
            raise ValueError
        return len(ran)

    message = body.send()
    step_worker.drain()
    before = handle(message).read()
    body.send_with_options(message_id=message.message_id)
    step_worker.drain()
    assert ran == [1, 1], "without an idempotency key the same id runs again, as in Celery (D01)"
    assert handle(message).read() == before
    assert broker.refused == 1


def test_an_id_whose_record_has_expired_may_be_used_anew(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(result_ttl=60)
    def body() -> int:
        ran.append(1)
        return len(ran)

    message = body.send()
    drain()
    freezer.tick(60)
    body.send_with_options(message_id=message.message_id)
    drain()
    assert handle(message).get() == 2


def test_p12_without_a_hold_the_body_does_not_run(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[int] = []

    @actor
    def body() -> str:
        ran.append(1)
        return "done"

    message = body.send()
    faults.fail("started", times=2)
    drain()
    freezer.tick(1)
    drain()
    assert ran == []
    freezer.tick(1)
    drain()
    assert handle(message).get() == "done"


def test_the_wrong_arguments_by_name_are_a_failure(broker: SettlingBroker, drain: Drain) -> None:
    from understudy import client

    @actor
    def body(x: int) -> None: ...

    message = client.send("body", 1, 2)
    drain()
    with pytest.raises(TypeError):
        handle(message).get()


def test_what_goes_on_cannot_be_piped_on_and_says_what_to_write(broker: SettlingBroker, drain: Drain) -> None:
    ran: list[object] = []

    @actor
    def inner() -> int:
        ran.append("inner")
        return 7

    @actor
    def outer() -> object:
        return chain(inner.message())

    @actor
    def last(value: object) -> None:
        ran.append(value)

    pipe: Any = outer.message() | last.message()
    first, second = pipe.run().messages
    drain()
    assert ran == []
    with pytest.raises(WorkflowError, match=r"chain\(outer.message"):
        handle(first).get()
    assert handle(second).status == "FAILURE"


def test_what_cannot_go_on_sends_nothing_that_waits_for_its_commit(
    broker: SettlingBroker, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    @actor
    def note() -> None:
        ran.append(1)

    @actor
    def outer() -> object:
        note.send_with_options(when="committed")
        return chain(note.message())

    def refuse(*args: object) -> None:
        raise WorkflowError("it is gone")

    monkeypatch.setattr(states, "continued", refuse)
    message = outer.send()
    drain()
    assert handle(message).status == "FAILURE"
    assert ran == []
