"""Revoking messages that wait (V01, V05-V07), and the copy that each worker keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from middleware.revocation import Revocation
from tests.understudy.brokers.helpers import dead_letters, working
from understudy import Idempotency, RateLimit, Retry, actor, each, handle, revoke
from understudy.brokers.redis import RedisBroker
from understudy.errors import HandBack, Revoked, ServerUnavailable
from understudy.execution import current
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def guard(broker: RedisBroker) -> Revocation:
    (found,) = (part for part in broker.middleware if isinstance(part, Revocation))
    return found


def test_a_waiting_message_is_revoked_at_once_and_never_runs(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor
    def body(x: int) -> None:
        ran.append(x)

    message, other = body.send(1), body.send(2)
    assert handle(message).revoke() == "REVOKED"
    found = handle(message)
    assert (found.status, found.ready(), found.failed(), found.successful()) == ("REVOKED", True, False, False)
    with pytest.raises(Revoked, match=r"^revoked$"):
        found.get()
    drain()
    assert ran == [2]
    assert (handle(message).status, handle(other).status) == ("REVOKED", "SUCCESS")
    assert dead_letters(broker) == []
    assert broker.size("default") == 0


def test_one_that_was_fetched_and_not_begun_does_not_run_either(broker: RedisBroker, step_worker: StepWorker) -> None:
    ran: list[int] = []

    @actor
    def body(x: int) -> None:
        ran.append(x)

    messages = [body.send(x) for x in range(3)]
    step_worker.run_once()
    assert len(broker.holds) == 2, "the others are fetched"
    revoke(messages[1])
    step_worker.drain()
    assert ran == [0, 2]


def test_a_delayed_message_is_revoked_at_once_and_gone(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body() -> None:
        raise AssertionError("it must not run")

    message = body.send_with_options(delay=60_000)
    drain()
    assert revoke(message.message_id) == "REVOKED"
    assert broker.size("default") == 0
    freezer.tick(60)
    assert drain() == 0
    assert handle(message).status == "REVOKED"


def test_an_id_that_is_sent_later_is_discarded(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body() -> None:
        raise AssertionError("it must not run")

    revoke("mine")
    body.send_with_options(message_id="mine")
    drain()
    assert handle("mine").status == "REVOKED"
    freezer.tick(broker.settings.result_ttl + 61)
    body.send_with_options(message_id="mine")
    drain()
    assert handle("mine").status == "REVOKED", "it is remembered for longer than the record"


def test_what_has_ended_stays_as_it_is(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> int:
        return 7

    message = body.send()
    drain()
    assert revoke(message, terminate=True) == "SUCCESS"
    assert handle(message).get() == 7


@pytest.mark.parametrize("tracked", [True, False])
def test_a_running_body_goes_on_to_its_end(broker: RedisBroker, drain: Drain, tracked: bool) -> None:
    states: list[str] = []

    @actor(track_started=tracked)
    def body() -> int:
        execution = current()
        assert execution is not None
        states.append(revoke(execution.message_id))
        states.append(handle(execution.message_id).status)
        return 7

    message = body.send()
    drain()
    assert states == (["STARTED"] * 2 if tracked else ["PENDING"] * 2)
    assert handle(message).get() == 7


def test_it_has_no_further_run_and_its_key_is_free(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[str] = []

    @actor(retry=Retry(backoff=10, jitter="none"), idempotency=Idempotency(key="{x}"))
    def body(x: str) -> None:
        execution = current()
        assert execution is not None
        ran.append(execution.message_id)
        revoke(execution.message_id)
        raise OSError

    message = body.send("k")
    drain()
    assert handle(message).status == "RETRY"
    freezer.tick(10)
    drain()
    assert ran == [message.message_id]
    assert handle(message).status == "REVOKED"
    again = body.send("k")
    drain()
    assert ran == [message.message_id, again.message_id]


def test_a_message_that_waits_for_its_retry_gives_up_its_key_at_once(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[str] = []

    @actor(retry=Retry(backoff=3600, maximum=3600, jitter="none"), idempotency=Idempotency(key="{x}"))
    def body(x: str) -> str:
        for item in each(["a", "b"], key=str):
            ran.append(item)
            if ran == ["a", "b"]:
                raise OSError
        return "done"

    message = body.send("k")
    drain()
    assert revoke(message) == "REVOKED"
    assert handle(message).next_run is None
    again = body.send("k")
    drain()
    assert handle(again).get() == "done"
    assert ran == ["a", "b", "b"], "what was done under the key is not done again"


@pytest.mark.parametrize("why", ["turn", "hand back"])
def test_a_message_that_goes_back_to_its_queue_gives_up_its_key_when_it_is_revoked(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, why: str
) -> None:
    ran: list[str] = []
    limit = RateLimit(1, per=600, kind="window") if why == "turn" else None

    @actor(rate_limit=limit, idempotency=Idempotency(key="{x}", ttl=86_400))
    def body(x: str) -> None:
        execution = current()
        assert execution is not None
        ran.append(execution.message_id)
        if why == "hand back" and len(ran) == 2:
            raise HandBack("not now", delay=600)

    other = body.send("other")
    drain()
    message = body.send("k")
    drain()
    assert why == "hand back" or handle(message).status == "PENDING"
    assert revoke(message) == "REVOKED"
    again = body.send("k")
    drain()
    for _ in range(2):  # the turn of what was revoked, and the one behind it
        freezer.tick(601)
        drain()
    assert [id for id in ran if id != message.message_id] == [other.message_id, again.message_id]


def test_a_restart_of_the_worker_forgets_nothing(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body() -> None:
        raise AssertionError("it must not run")

    message = body.send()
    revoke(message)
    broker.records.forget(message.message_id)
    broker.abandon()
    drain()
    assert handle(message).status == "REVOKED"


def test_a_revoked_body_whose_worker_dies_is_not_run_again(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[int] = []

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        ran.append(1)
        assert revoke(execution.message_id) == "STARTED"
        faults.kill_worker()

    message = body.send()
    drain()
    freezer.tick(60)
    drain()
    assert ran == [1]
    assert handle(message).status == "REVOKED"


def test_a_server_that_cannot_be_asked_keeps_the_body_from_running(
    broker: RedisBroker, step_worker: StepWorker, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor
    def body() -> None:
        ran.append(1)

    message = body.send()
    faults.fail("revoked", times=1)
    step_worker.drain()
    assert ran == []
    assert handle(message).status == "PENDING"
    freezer.tick(1)
    step_worker.drain()
    assert ran == [1]
    assert handle(message).retries == 0


def test_revoking_in_an_outage_says_so(broker: RedisBroker, faults: Faults) -> None:
    with faults.outage(), pytest.raises(ServerUnavailable):
        revoke("m")
    revoke("m")
    assert handle("m").status == "REVOKED"


def test_revoking_twice_does_no_harm(broker: RedisBroker, faults: Faults) -> None:
    faults.fail("revoke", when="after")
    with pytest.raises(ServerUnavailable):
        revoke("m")
    assert revoke("m") == "REVOKED"


def test_a_worker_hears_what_is_revoked_and_asks_no_more(broker: RedisBroker, faults: Faults) -> None:
    go, begun, ran = threading.Event(), threading.Event(), list[int]()

    @actor
    def first() -> None:
        begun.set()
        go.wait(20)

    @actor
    def body(x: int) -> None:
        ran.append(x)

    listening = guard(broker)
    with working(broker, threads=1):
        wait_until(lambda: listening._believed_until > 0, what="the worker hears the server")
        blocking = first.send()
        assert begun.wait(20)
        messages = [body.send(x) for x in range(4)]
        wait_until(lambda: len(broker.holds) > 1, what="they are fetched")
        faults.exchanges.clear()
        handle(messages[2]).revoke()
        wait_until(lambda: messages[2].message_id in listening._revoked, what="the worker has heard")
        go.set()
        assert handle(messages[3]).get(timeout=20) is None
        assert handle(blocking).get(timeout=20) is None
    assert ran == [0, 1, 3]
    assert "revoked" not in faults.exchanges, "an unrevoked message costs nothing"


def test_a_channel_that_is_lost_is_made_again_and_what_was_missed_is_loaded(
    broker: RedisBroker, faults: Faults
) -> None:
    @actor
    def body() -> int:
        return 1

    listening = guard(broker)
    with working(broker, threads=1):
        wait_until(lambda: listening._believed_until > 0, what="the worker hears the server")
        faults.fail("revocations", when="after")
        wait_until(lambda: listening._believed_until < 0, what="the worker is deaf")
        assert handle(body.send()).get(timeout=20) == 1, "it asks for each"
        revoke("missed")
        wait_until(lambda: "missed" in listening._revoked, what="the worker hears again")


def test_a_silent_channel_is_not_believed(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def ping(self) -> None: ...
        def get_message(self, timeout: float) -> None: ...
        def close(self) -> None: ...

    silent: Any = Silent()
    monkeypatch.setattr(broker.storage, "subscribe", lambda channel: silent)
    listening = Revocation(guard(broker).termination)
    monkeypatch.setattr("middleware.revocation.INTERVAL", 0.01)
    listening._listen(broker)
    assert listening._believed_until < 0
