"""What a service sees by the id alone."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, clock, handle
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DeclarationError, ResultTimeout, ServerUnavailable
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def test_s01_an_unknown_id_is_pending(broker: SettlingBroker) -> None:
    found = handle("nobody-sent-this")
    assert found.status == "PENDING"
    assert (found.result, found.traceback, found.date_done, found.progress, found.actor_name) == (None,) * 5
    assert (found.ready(), found.successful(), found.failed(), found.exists()) == (False,) * 4
    assert found.retries == 0
    with pytest.raises(ResultTimeout):
        found.get(timeout=0.01)


def test_a_message_an_id_and_a_delivery_have_the_same_handle(broker: SettlingBroker) -> None:
    @actor
    def body() -> None: ...

    message = body.send()
    assert handle(message).id == handle(message.message_id).id == message.message_id
    assert message.message_id in repr(handle(message))
    with pytest.raises(TypeError):
        handle("")


def test_s05_a_success_is_complete(broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor
    def body() -> dict[str, int]:
        return {"x": 1}

    message = body.send()
    freezer.tick(90)
    drain()
    found = handle(message.message_id)
    assert found.status == found.state == "SUCCESS"
    assert found.result == found.info == found.get() == {"x": 1}
    assert found.traceback is None
    assert found.actor_name == "body"
    assert found.date_done == datetime(2026, 3, 1, 12, 1, 30, tzinfo=UTC)
    assert (found.ready(), found.successful(), found.failed()) == (True, True, False)


def test_a_running_message_is_started_and_says_where(broker: RedisBroker, drain: Drain) -> None:
    seen: list[object] = []

    @actor
    def body() -> None:
        found = handle(message)
        seen.append((found.status, found.info, found.actor_name, found.ready()))

    message = body.send()
    drain()
    assert seen == [("STARTED", {"hostname": socket.gethostname(), "pid": os.getpid()}, "body", False)]
    assert handle(message).worker == broker.worker_id


def test_next_run_is_when_the_retry_is_due(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(retry=Retry(1, backoff=60, jitter="none"))
    def body() -> None:
        raise ValueError

    message = body.send()
    drain()
    assert handle(message).next_run == datetime(2026, 3, 1, 12, 1, tzinfo=UTC)


def test_s10_what_is_forgotten_is_pending(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> int:
        return 1

    found = handle(body.send())
    drain()
    assert found.get() == 1
    found.forget()
    assert found.status == "PENDING"
    assert not found.exists()


def test_forgetting_a_running_message_does_not_stop_it(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> int:
        handle(message).forget()
        assert handle(message).status == "PENDING"
        return 1

    message = body.send()
    drain()
    assert handle(message).get() == 1


def test_s25_a_handle_keeps_the_end_that_it_has_seen(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(result_ttl=60)
    def body() -> int:
        return 1

    message = body.send()
    drain()
    seen, unseen = handle(message), handle(message)
    assert seen.status == "SUCCESS"
    freezer.tick(61)
    assert seen.get() == 1
    assert unseen.status == "PENDING"


def test_s15_get_within_an_actor_is_refused(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def other() -> None: ...

    @actor
    def body() -> object:
        return handle(other.send()).get()

    message = body.send()
    drain()
    with pytest.raises(RuntimeError, match="inside an actor"):
        handle(message).get()


def test_an_outage_is_not_pending(broker: SettlingBroker, faults: Faults) -> None:
    with faults.outage(), pytest.raises(ServerUnavailable):
        _ = handle("x").status


@pytest.mark.brokers("server")
@pytest.mark.parametrize("timeout", [0, 0.05, timedelta(milliseconds=120)])
def test_s17_a_timeout_is_exact(broker: SettlingBroker, timeout: float | timedelta) -> None:
    broker.storage.can_wait = True
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    start = clock.monotonic()
    with pytest.raises(ResultTimeout, match="still PENDING"):
        handle("nobody-sent-this").get(timeout=timeout)
    assert clock.monotonic() - start >= seconds


def test_a_timeout_is_a_duration(broker: SettlingBroker) -> None:
    with pytest.raises(DeclarationError, match="timeout"):
        handle("x").get(timeout="5")  # type: ignore[arg-type]


@pytest.mark.brokers("server")
def test_a_waiter_leaves_no_subscription(broker: SettlingBroker) -> None:
    broker.storage.can_wait = True
    with pytest.raises(ResultTimeout):
        handle("x").get(timeout=0.01)
    channel = broker.storage.keys.channel("x")
    assert dict(broker.storage.client.pubsub_numsub(channel))[channel.encode()] == 0


def test_a_coroutine_awaits_a_result(drain: Drain) -> None:
    @actor
    def body(fail: bool) -> str:
        if fail:
            raise KeyError("x")
        return "done"

    done, failed = body.send(False), body.send(True)
    drain()
    assert asyncio.run(handle(done).aget(timeout=1)) == "done"
    with pytest.raises(KeyError):
        asyncio.run(handle(failed).aget())
    assert isinstance(asyncio.run(handle(failed).aget(propagate=False)), KeyError)


def test_s15_in_an_actor_it_is_refused_as_get_is(drain: Drain) -> None:
    @actor
    async def body() -> None:
        await handle("other").aget(timeout=1)

    message = body.send()
    drain()
    with pytest.raises(RuntimeError, match="blocks its worker"):
        handle(message).get()
