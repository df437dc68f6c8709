from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from middleware.executions import Executions, of, opened
from understudy import actor, each, progress
from understudy.brokers.held import HeldMessage
from understudy.brokers.settlement import SettlingBroker
from understudy.execution import Execution, current
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


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_execution_that_is_over_goes_without_the_garbage_collector(
    broker: SettlingBroker, drain: Drain, no_collector: None
) -> None:
    """Thousands a second would lie about until it comes, and it would do nothing but look at them."""
    seen: list[weakref.ref[Execution]] = []

    @actor
    def child() -> None: ...

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        seen.append(weakref.ref(execution))
        progress.update(1, 2)
        child.send()
        for _ in each([1, 2], key=str):
            pass

    for _ in range(2):  # each script is unknown to the server once, and that error refers to whoever met it
        body.send()
        drain()
    assert seen[1]() is None
