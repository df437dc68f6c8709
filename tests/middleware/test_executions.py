from __future__ import annotations

from collections.abc import Callable

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from middleware.executions import Executions, of, opened
from understudy import actor
from understudy.brokers.held import HeldMessage
from understudy.brokers.settlement import SettlingBroker
from understudy.execution import current
from understudy.holds import Hold

Drain = Callable[..., int]


def test_the_body_finds_its_execution(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[tuple[str, str]] = []

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        seen.append((execution.message_id, execution.actor.actor_name))

    message = body.send()
    drain()
    assert seen == [(message.message_id, "body")]


def test_another_broker_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"understudy\.install"):
        of(StubBroker(middleware=[]), object())


def test_a_stack_without_it_is_refused_in_words() -> None:
    message = dramatiq.Message[object](queue_name="q", actor_name="a", args=(), kwargs={}, options={})
    with pytest.raises(RuntimeError, match=r"stack\.py"):
        opened(HeldMessage(message, Hold(stream="s", entry="1-1", token="q/2/1-1")))


def test_the_option_of_a_message_is_known() -> None:
    assert Executions().actor_options >= {"idempotency_key"}
