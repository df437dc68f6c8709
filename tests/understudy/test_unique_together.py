"""``unique`` where many are sent at once, or follow from a body."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.understudy.test_unique import refused
from understudy import AlreadyEnqueued, Idempotency, Unique, actor, handle, send_many
from understudy.brokers import staging
from understudy.brokers.redis import RedisBroker
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def test_of_many_the_duplicates_are_left_out(broker: RedisBroker, drain: Drain, enqueued: Enqueued) -> None:
    ran: list[int] = []

    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None:
        ran.append(x)

    body.send(2)
    assert send_many(body.message(x) for x in [1, 1, 2, 3, 1]) == 2
    assert [message.args[0] for message in enqueued.messages()] == [2, 1, 3]
    drain()
    assert sorted(ran) == [1, 2, 3]


def test_a_duplicate_among_what_follows_is_left_out_and_voids_nothing(
    broker: RedisBroker, drain: Drain, enqueued: Enqueued, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []

    @actor(unique=Unique(key="{x}"), queue_name="other")
    def child(x: int) -> None:
        ran.append(x)

    @actor
    def body() -> str:
        for x in (1, 2, 2, 3):
            child.send_with_options(args=(x,), when="committed")
        return "done"

    first = child.send_with_options(args=(1,), delay=1_000_000)
    parents = [body.send(), body.send()]
    caplog.set_level(logging.INFO, "understudy")
    drain(limit=10)
    assert [handle(parent).get() for parent in parents] == ["done", "done"]
    assert ran in ([2, 3], [2, 3, 2, 3]), "the second parent's are refused while the first one's wait"
    assert {message.args[0] for message in enqueued.messages(child)} == {1, 2, 3}
    assert len(enqueued.messages(child)) == 1 + len(ran)
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 8 - len(ran)
    assert f"because message {first.message_id} stands under the same unique key" in told[0]


def test_a_body_may_send_the_next_one_of_its_kind_with_its_outcome(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor(unique=Unique(key="{name}"))
    def body(name: str, left: int) -> None:
        ran.append(left)
        if left:
            body.send_with_options(args=(name, left - 1), when="committed")

    body.send("a", 2)
    drain()
    assert ran == [2, 1, 0]


def test_a_hook_s_follow_up_may_be_a_duplicate(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor(unique=Unique(key="{x}"), queue_name="other", priority=10)
    def second(x: int) -> None:
        ran.append(x)

    @actor
    def first() -> int:
        return 7

    standing = second.send_with_options(args=(7,), delay=1_000_000)
    pipe: Any = first.message() | second.message_with_options()
    pipe.run()
    drain()
    assert handle(pipe.messages[0]).get() == 7
    assert ran == []
    assert refused(lambda: second.send(7)) == standing.message_id


def test_the_duplicates_of_a_large_outcome_are_left_out(
    broker: RedisBroker, drain: Drain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staging, "PAGE", 3)
    ran: list[int] = []

    @actor(unique=Unique(key="{x}"))
    def child(x: int) -> None:
        ran.append(x)

    @actor
    def plain(x: int) -> None:
        ran.append(x)

    @actor
    def body() -> None:
        for x in (1, 2, 2, 3, 4, 4, 5):
            child.send_with_options(args=(x,), when="committed")
        plain.send_with_options(args=(6,), when="committed")

    child.send_with_options(args=(1,), delay=1_000_000)
    caplog.set_level(logging.INFO, "understudy")
    parent = body.send()
    drain()
    assert handle(parent).status == "SUCCESS"
    assert sorted(ran) == [2, 3, 4, 5, 6]
    assert caplog.text.count("left out") == 3
    assert broker.storage.call("SMEMBERS", broker.storage.keys.outbox) in (set(), [])


def test_in_a_body_it_is_an_error_like_any_other(broker: RedisBroker, drain: Drain) -> None:
    @actor(unique=Unique())
    def body() -> None:
        body.send()

    first = body.send()
    drain(limit=10)
    with pytest.raises(AlreadyEnqueued) as told:
        handle(first).get()
    assert (told.value.actor_name, told.value.message_id) == ("body", first.message_id)


def test_unique_refuses_the_enqueue_and_idempotency_the_execution(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor(unique=Unique(key="{x}"), idempotency=Idempotency(key="{x}"))
    def body(x: int) -> None:
        ran.append(x)

    first = body.send(1)
    assert refused(lambda: body.send(1)) == first.message_id
    drain()
    again = body.send(1)
    drain()
    assert (ran, handle(again).status) == ([1], "SUCCESS")
