"""Finding messages that wait for their time, and cancelling them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, Retry, actor, each, handle
from understudy.brokers import delays
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.errors import Revoked, ServerUnavailable
from understudy.outcome import Disposition
from understudy.testing.faults import Faults, When

Drain = Callable[..., int]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def body(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> Any:
    @actor(retry=Retry(1, backoff=60, jitter="none"))
    def body(x: int) -> int:
        ran.append(x)
        if x < 0:
            raise ValueError(x)
        return x

    ran: list[int] = []
    body.ran = ran  # type: ignore[attr-defined]
    return body


def later(body: Any, x: int = 1, delay: float = 60, **options: Any) -> str:
    return str(body.send_with_options(args=(x,), delay=timedelta(seconds=delay), **options).message_id)


def names(broker: RedisBroker) -> list[str]:
    """The keys of the queue that hold something."""
    keys = broker.keys_of("default")
    return [key for key in (keys.delayed, keys.payloads, keys.ids) if broker.storage.call("EXISTS", key)]


def test_what_waits_is_found_with_its_time_and_its_level(broker: RedisBroker, body: Any) -> None:
    message = body.message(7)
    broker.enqueue(message, delay=90_000)
    broker.enqueue(message.copy(options={"priority": -1}), delay=30_000)
    first, second = delays.find(broker, "default", message.message_id)
    assert (first.due, first.level) == (START + timedelta(seconds=30), 1)
    assert (second.due, second.level) == (START + timedelta(seconds=90), 2)
    assert second.message == message
    assert (second.deaths, second.worker) == (0, "")
    assert delays.find(broker, "default", "nobody-sent-this") == []
    assert delays.find(broker, "other", message.message_id) == []


def test_what_cannot_be_read_is_found_all_the_same_and_cancelled(broker: RedisBroker, body: Any) -> None:
    id = later(body)
    keys = broker.keys_of("default")
    (member,) = broker.storage.call("HKEYS", keys.payloads)
    broker.storage.call("HSET", keys.payloads, member, b"2:{")
    (found,) = delays.find(broker, "default", id)
    assert found.message is None
    assert delays.cancel(broker, "default", id) == 1
    assert handle(id).status == "REVOKED"


def test_v06_a_cancelled_message_is_revoked_at_once_and_never_runs(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    id, other = later(body, 1), later(body, 2)
    assert delays.cancel(broker, "default", id) == 1
    found = handle(id)
    assert found.status == "REVOKED"
    assert (found.ready(), found.successful(), found.failed()) == (True, False, False)
    assert (found.date_done, found.actor_name) == (START, "body")
    with pytest.raises(Revoked, match=r"^revoked$"):
        found.get()
    assert delays.find(broker, "default", id) == []
    freezer.tick(60)
    drain()
    assert body.ran == [2]
    assert handle(other).get() == 2
    assert names(broker) == [], "nothing of either is left"


def test_every_copy_is_cancelled_and_no_other_message(broker: RedisBroker, body: Any, drain: Drain) -> None:
    message, neighbour = body.message(1), later(body, 2)
    for delay in (1_000, 2_000, 1_000):
        broker.enqueue(message, delay=delay)
    assert delays.cancel(broker, "default", message.message_id) == 3
    assert delays.cancel(broker, "default", message.message_id) == 0
    assert broker.size("default") == 1
    assert len(delays.find(broker, "default", neighbour)) == 1


@pytest.mark.parametrize("id", ["two words", "a|b c", "übermäßig lang, mit | und ;", "a", " "])
def test_an_id_of_any_text_can_be_found_cancelled_and_promoted(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory, id: str
) -> None:
    for x in (1, 2):
        later(body, x, message_id=id)
    assert len(delays.find(broker, "default", id)) == 2
    assert delays.cancel(broker, "default", id) == 2
    assert names(broker) == []
    handle(id).forget()
    for x in (3, 4):
        later(body, x, message_id=id)
    freezer.tick(60)
    drain()
    assert sorted(body.ran) == [3, 4]
    assert names(broker) == []


def test_a_message_that_waits_for_its_retry_is_cancelled(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    message = body.send(-1)
    drain()
    assert handle(message).status == "RETRY"
    assert delays.cancel(broker, "default", message.message_id) == 1
    found = handle(message)
    assert (found.status, found.next_run, found.traceback) == ("REVOKED", None, None)
    assert found.retries == 1, "what it went through is still told"
    freezer.tick(3600)
    assert drain() == 0
    assert body.ran == [-1]


def test_what_is_remembered_of_a_cancelled_message_expires(broker: RedisBroker, drain: Drain) -> None:
    @actor(retry=Retry(1, backoff=60))
    def batch() -> None:
        for item in each(["a", "b"], key=str):
            if item == "b":
                raise ValueError

    message = batch.send()
    drain()
    keys = broker.storage.keys
    kept = [keys.state(message.message_id), keys.items(message.message_id)]
    assert [broker.storage.call("PTTL", key) for key in kept] == [-1, -1]
    delays.cancel(broker, "default", message.message_id)
    assert all(broker.storage.call("PTTL", key) > 0 for key in kept)


def test_what_does_not_wait_for_its_time_is_not_cancelled(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    waiting, due = body.send(1).message_id, later(body, 2)
    freezer.tick(60)
    broker.upkeep.promote_once()
    for id in (waiting, due, "nobody-sent-this"):
        assert delays.cancel(broker, "default", id) == 0
        assert handle(id).status == "PENDING"
    drain()
    assert sorted(body.ran) == [1, 2]


def test_a_copy_that_is_due_already_runs_and_the_other_one_does_not(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    message = body.message(1)
    broker.enqueue(message, delay=1_000)
    broker.enqueue(message, delay=60_000)
    freezer.tick(1)
    broker.upkeep.promote_once()
    assert delays.cancel(broker, "default", message.message_id) == 1
    freezer.tick(60)
    drain()
    assert body.ran == [1]


def test_v04_a_message_that_has_ended_stays_as_it_is_and_its_copy_goes(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    message = body.send(1)
    drain()
    broker.enqueue(message, delay=60_000)
    assert delays.cancel(broker, "default", message.message_id) == 1
    assert handle(message).get() == 1
    freezer.tick(60)
    assert drain() == 0


def test_what_is_left_of_an_expired_record_does_not_mix_with_it(
    broker: RedisBroker, body: Any, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    message = body.send(1)
    drain()
    freezer.tick(broker.settings.result_ttl)
    broker.enqueue(message, delay=60_000)
    assert delays.cancel(broker, "default", message.message_id) == 1
    record = handle(message).read()
    assert record.state == "REVOKED"
    assert "result" not in record.fields


def test_what_is_handed_back_for_later_keeps_its_deaths(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    message: Message[Any] = Message(queue_name="q", actor_name="a", args=(), kwargs={}, options={})
    broker.declare_queue("q")
    broker.enqueue(message)
    for nth in (1, 2):
        source = broker.consume("q", prefetch=1, timeout=1)
        found = delivered(source)
        if nth == 1:
            found.hold = dataclasses.replace(found.hold, deaths=2, worker="wörker:1:a")
        found.outcome.decide(Disposition.HAND_BACK, delay=5)
        source.ack(found)
        (waiting,) = delays.find(broker, "q", message.message_id)
        assert (waiting.deaths, waiting.worker, waiting.message) == (2, "wörker:1:a", message)
        freezer.tick(5)
        broker.upkeep.promote_once()
    again = delivered(broker.consume("q", prefetch=1, timeout=1))
    assert (again.hold.deaths, again.hold.worker) == (2, "wörker:1:a")
    assert again.asdict() == message.asdict()


def test_a_retry_begins_with_no_deaths(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    message: Message[Any] = Message(queue_name="q", actor_name="a", args=(), kwargs={}, options={})
    broker.enqueue(message)
    source = broker.consume("q", prefetch=1, timeout=1)
    found = delivered(source)
    found.hold = dataclasses.replace(found.hold, deaths=2, worker="w")
    found.outcome.decide(Disposition.RETRY, delay=5)
    source.ack(found)
    assert [(one.deaths, one.worker) for one in delays.find(broker, "q", message.message_id)] == [(0, "")]


def delivered(source: Any) -> HeldMessage:
    for _ in range(4):
        found = next(source)
        if found is not None:
            assert isinstance(found, HeldMessage)
            return found
    raise AssertionError("nothing came")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cancel_whose_reply_is_cut_may_be_done_again(
    broker: RedisBroker, body: Any, faults: Faults, when: When
) -> None:
    id = later(body)
    faults.fail("cancel", when=when)
    with pytest.raises(ServerUnavailable):
        delays.cancel(broker, "default", id)
    delays.cancel(broker, "default", id)
    assert handle(id).status == "REVOKED"
    assert names(broker) == []


def test_a_command_that_is_resent_gets_the_same_reply(
    broker: RedisBroker, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = body.message(1)
    for _ in range(2):
        broker.enqueue(message, delay=1_000)
    run = broker.storage.run
    monkeypatch.setattr(broker.storage, "run", lambda *call: (run(*call), run(*call))[1])
    assert delays.cancel(broker, "default", message.message_id) == 2
    assert delays.cancel(broker, "default", message.message_id) == 0


@pytest.mark.parametrize("what", ["delayed", "payloads", "ids", "state", "items"])
def test_where_a_key_holds_something_else_nothing_is_cancelled(broker: RedisBroker, body: Any, what: str) -> None:
    id, other = later(body, 1), later(body, 2)
    keys, names = broker.keys_of("default"), broker.storage.keys
    spoilt = {"state": names.state(id), "items": names.items(id)}.get(what) or getattr(keys, what)
    before = {name: broker.storage.client.dump(name) for name in (keys.delayed, keys.payloads, keys.ids)}
    broker.storage.call("RENAME", spoilt, "aside") if spoilt in before else None
    broker.storage.call("SET", spoilt, "somebody else's")
    with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
        delays.cancel(broker, "default", id)
    broker.storage.call("DEL", spoilt)
    broker.storage.call("RENAME", "aside", spoilt) if spoilt in before else None
    assert {name: broker.storage.client.dump(name) for name in before} == before
    assert len(delays.find(broker, "default", other)) == 1


def test_a_key_that_was_kept_for_a_retry_is_free_at_once_and_what_was_done_under_it_is_remembered(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    done: list[tuple[str, str]] = []

    @actor(idempotency=Idempotency(key="{n}"), retry=Retry(backoff=3_600, maximum=3_600, jitter="none"))
    def guarded(n: int, who: str) -> str:
        for item in each(["a", "b"], key=str):
            if item == "b" and who == "first":
                raise ValueError
            done.append((who, item))
        return who

    first, second = guarded.send(1, "first"), guarded.send(1, "second")
    drain()
    assert [handle(one).status for one in (first, second)] == ["RETRY", "PENDING"]
    assert len(broker.find_delayed("default", first.message_id)) == 1
    assert broker.cancel_delayed("default", first.message_id) == 1
    freezer.tick(2)  # a waiting twin looks again every second
    drain()
    assert handle(second).get() == "second"
    assert done == [("first", "a"), ("second", "b")]
    assert handle(first).status == "REVOKED"


def test_a_key_that_is_another_messages_by_now_is_left_alone(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(idempotency=Idempotency(key="{n}"), retry=Retry(backoff=3_600, maximum=3_600, jitter="none"))
    def guarded(n: int) -> None:
        raise ValueError

    message = guarded.send(1)
    drain()
    claim = broker.storage.keys.claim(
        broker.storage.call("HGET", broker.storage.keys.state(message.message_id), "claim").decode()
    )
    broker.storage.call("HSET", claim, "owner", "another")
    before = broker.storage.call("HGETALL", claim)
    assert broker.cancel_delayed("default", message.message_id) == 1
    assert broker.storage.call("HGETALL", claim) == before
