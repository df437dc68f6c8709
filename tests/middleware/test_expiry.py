"""Messages whose time is over (E02-E04)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, Retry, actor, client, each, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError, Revoked
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def test_what_waited_too_long_does_not_run(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor
    def body() -> str:
        return "ran"

    late = body.send_with_options(expires=10)
    freezer.tick(9.99)
    in_time = body.send_with_options(expires=timedelta(seconds=10))
    freezer.tick(0.01)
    drain()
    assert handle(in_time).get() == "ran"
    found = handle(late)
    assert (found.status, found.ready(), found.failed(), found.successful()) == ("REVOKED", True, False, False)
    with pytest.raises(Revoked, match=r"^expired$"):
        found.get()
    assert broker.storage.call("ZCARD", broker.keys_of("default").dead) == 0


def test_an_actor_says_it_for_all_its_messages_and_a_message_for_itself(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(expires=timedelta(minutes=1))
    def body() -> None: ...

    messages = [body.send(), body.send_with_options(expires=120), client.send("body")]
    messages.append(client.send_with_options("body", expires=datetime(2026, 3, 1, 12, 2, tzinfo=UTC)))
    freezer.tick(60)
    drain()
    assert [handle(message).status for message in messages] == ["REVOKED", "SUCCESS", "REVOKED", "SUCCESS"]


def test_a_sender_without_middleware_is_counted_from_when_the_message_was_made(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(expires=60)
    def body() -> None: ...

    message = body.message()
    broker.transmit(message, delay=None)
    freezer.tick(60)
    drain()
    assert handle(message).status == "REVOKED"


def test_a_retry_that_comes_too_late_is_revoked_and_forgets_what_it_did(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    ran: list[str] = []

    @actor(retry=Retry(backoff=60, jitter="none"), idempotency=Idempotency(key="{x}"))
    def body(x: str) -> None:
        for item in each(["a", "b"], key=str):
            ran.append(item)
            if item == "b":
                raise OSError

    message = body.send_with_options(args=("k",), expires=30)
    drain()
    assert handle(message).status == "RETRY"
    freezer.tick(60)
    drain()
    assert ran == ["a", "b"]
    assert handle(message).status == "REVOKED"
    assert handle(message).traceback is None
    again = body.send("k")
    drain()
    assert ran == ["a", "b", "b"], "the key is free, and what was done under it is remembered"
    assert handle(again).status == "RETRY"


@pytest.mark.parametrize("wrong", [True, "soon", 0, -1, datetime(2026, 3, 1)])
def test_a_wrong_time_is_refused_where_it_is_given(broker: RedisBroker, wrong: object, enqueued: Enqueued) -> None:
    @actor
    def body() -> None: ...

    with pytest.raises(DeclarationError, match="body: expires"):
        body.send_with_options(expires=wrong)
    with pytest.raises(DeclarationError, match="expires"):
        client.send_with_options("body", expires=wrong)
    with pytest.raises(DeclarationError, match="expires"):
        actor(actor_name="other", expires=wrong)(print)
    enqueued.assert_nothing()
