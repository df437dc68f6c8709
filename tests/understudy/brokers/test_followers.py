"""Callbacks as the broker makes them. What the ends are: ``tests/middleware/test_callbacks.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.understudy.brokers.helpers import dead_letters, put
from understudy import actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def test_a_callback_that_cannot_be_sent_changes_nothing_else(
    broker: RedisBroker, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []

    @actor
    def tell(*what: Any) -> None:
        told.append(what)

    @actor
    def body() -> int:
        return 7

    message = body.send_with_options(on_success=["nobody", "tell"])
    broken = body.message_with_options().copy(options={"on_success": [{"actor_name": 3}]})
    broker.enqueue(broken)
    drain()
    assert handle(message).get() == handle(broken).get() == 7
    assert len(told) == 1
    assert [line.getMessage().split(":")[1] for line in caplog.records if "callback" in line.getMessage()] == [
        " its callback nobody cannot be sent, and is left out (UnknownActor)",
        " its callback ? cannot be sent, and is left out (ValueError)",
    ]


def test_the_callback_of_an_actor_that_only_other_workers_know_goes_to_its_queue(
    broker: RedisBroker, drain: Drain, enqueued: Enqueued
) -> None:
    @actor
    def body() -> None: ...

    broker.records.announce({"elsewhere": "far"})
    body.send_with_options(on_success="elsewhere")
    drain()
    assert [sent.message.queue_name for sent in enqueued.sent] == ["default", "far"]


def test_an_entry_that_cannot_be_read_tells_nobody_and_stops_nobody(broker: RedisBroker, drain: Drain) -> None:
    broker.declare_queue("default")
    put(broker, msgspec.json.encode({"message_id": "m", "options": {"on_failure": "tell"}}))
    drain()
    assert len(dead_letters(broker)) == 1


def test_without_the_middleware_nothing_follows(broker: RedisBroker, drain: Drain, enqueued: Enqueued) -> None:
    @actor(on_success="body")
    def body() -> None: ...

    broker.calls_back = False  # as where Dramatiq's own middleware sends them
    body.send()
    drain()
    assert len(enqueued) == 1
