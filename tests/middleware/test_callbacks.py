"""What is sent when a message has ended (S24, R16): once, with the outcome, whatever the end was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dramatiq import Broker, Middleware
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, Retry, actor, handle, revoke
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults

Drain = Callable[..., int]
Told = list[tuple[Any, ...]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def tell(broker: RedisBroker, told: Told) -> Actor[Any, Any]:
    @actor
    def tell(id: str, value: Any, *more: Any) -> None:
        told.append((id, value, *more))

    return tell


def until_quiet(drain: Drain, freezer: FrozenDateTimeFactory, rounds: int = 12) -> None:
    for _ in range(rounds):
        drain()
        freezer.tick(6)


def test_a_success_tells_the_result_to_one_and_not_to_the_other(
    broker: RedisBroker, drain: Drain, tell: Actor[Any, Any], told: Told
) -> None:
    @actor(on_success=tell, on_failure="tell")
    def body(x: int) -> dict[str, int]:
        return {"x": x}

    message = body.send(1)
    drain()
    assert told == [(message.message_id, {"x": 1})]
    (child,) = handle(message).children
    assert child.parent is not None
    assert child.parent.id == message.message_id


def test_a_message_has_callbacks_of_its_own_with_arguments(
    broker: RedisBroker, drain: Drain, tell: Actor[Any, Any], told: Told
) -> None:
    @actor(on_success="nobody")
    def body() -> int:
        return 7

    message = body.send_with_options(on_success=[tell.message("ops", 3), "tell"])
    drain()
    assert sorted(told, key=len) == [(message.message_id, 7), (message.message_id, 7, "ops", 3)]


def test_retries_tell_nobody_before_the_end(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, tell: Actor[Any, Any], told: Told
) -> None:
    @actor(retry=Retry(2, backoff=1), on_failure=tell)
    def body() -> None:
        raise ValueError("no")

    message = body.send()
    drain()
    assert told == []
    until_quiet(drain, freezer)
    assert told == [(message.message_id, {"type": "builtins.ValueError", "text": "no"})]


def test_a_worker_that_dies_around_the_commit_tells_it_once(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    tell: Actor[Any, Any],
    told: Told,
) -> None:
    @actor(on_success=tell)
    def body() -> None: ...

    body.send()
    faults.kill_at("settle", when="before")
    until_quiet(drain, freezer, 3)
    body.send()
    faults.kill_at("settle", when="after")
    until_quiet(drain, freezer, 3)
    assert len(told) == 2


@pytest.mark.parametrize("end", ["hook", "limit", "unknown", "poison", "result", "duplicate"])
def test_every_way_to_fail_tells_it_once(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    tell: Actor[Any, Any],
    told: Told,
    end: str,
) -> None:
    class Breaks(Middleware):
        def after_process_message(self, broker: Broker, message: Any, **ended: Any) -> None:
            if message.actor_name == "body":
                raise RuntimeError("hook broke")

    @actor(on_failure=tell, time_limit=1, idempotency=Idempotency(on_doubt="skip") if end == "duplicate" else None)
    def body() -> Any:
        if end == "limit":
            freezer.tick(2)
        if end in ("poison", "duplicate"):
            faults.kill_worker()
        return object() if end == "result" else None

    if end == "hook":
        broker.add_middleware(Breaks())
    message = body.message_with_options(on_failure=tell)
    if end == "unknown":
        message = message.copy(actor_name="somebody")
    broker.enqueue(message)
    until_quiet(drain, freezer, 70 if end == "unknown" else 12)
    expected = {
        "hook": "understudy.errors.HookFailed",
        "limit": "understudy.errors.TimeLimitExceeded",
        "unknown": "dramatiq.errors.ActorNotFound",
        "poison": "understudy.errors.PoisonMessage",
        "result": "understudy.errors.SerializationError",
        "duplicate": "understudy.errors.InDoubt",
    }
    assert [(id, error["type"]) for id, error in told] == [(message.message_id, expected[end])]
    assert handle(message).status == "FAILURE"


def test_what_is_revoked_or_handed_back_has_not_ended_so(
    broker: RedisBroker, drain: Drain, tell: Actor[Any, Any], told: Told
) -> None:
    @actor(on_failure=tell, on_success=tell)
    def body() -> None: ...

    revoke(body.send_with_options(delay=timedelta(seconds=60)))
    expired = body.send_with_options(expires=timedelta(microseconds=1))
    drain()
    assert handle(expired).status == "REVOKED"
    assert told == []


def test_a_duplicate_tells_the_stored_result(
    broker: RedisBroker, drain: Drain, tell: Actor[Any, Any], told: Told
) -> None:
    @actor(idempotency=Idempotency(key="{x}"), on_success=tell)
    def body(x: int) -> int:
        return x + 1

    first, second = body.send(1), body.send(1)
    drain()
    assert sorted(told) == sorted([(first.message_id, 2), (second.message_id, 2)])
