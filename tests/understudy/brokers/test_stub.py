from __future__ import annotations

from collections.abc import Callable

import pytest
from dramatiq import Message
from dramatiq.errors import QueueNotFound

from understudy import actor, handle
from understudy.brokers.stub import StubBroker
from understudy.errors import ServerUnavailable
from understudy.testing.faults import Faults

Drain = Callable[..., int]
pytestmark = pytest.mark.brokers("stub")


def test_arguments_are_encoded_as_on_a_server(broker: StubBroker, drain: Drain) -> None:
    seen: list[object] = []

    @actor
    def body(x: object) -> None:
        seen.append(x)

    body.send((1, 2))
    drain()
    assert seen == [[1, 2]]


def test_the_same_entry_is_put_once(broker: StubBroker) -> None:
    message = Message[object](queue_name="q", actor_name="a", args=(), kwargs={}, options={})
    for _ in range(2):
        broker.transmit(message, delay=None, entry="e")
    assert broker.queues["q"].qsize() == 1


def test_an_outage_reaches_the_sender(broker: StubBroker, faults: Faults) -> None:
    @actor
    def body() -> None: ...

    with faults.outage(), pytest.raises(ServerUnavailable):
        body.send()


def test_a_queue_that_was_never_declared_has_no_consumer(broker: StubBroker) -> None:
    with pytest.raises(QueueNotFound):
        broker.consume("nowhere")


def test_an_acknowledgement_that_is_repeated_counts_once(broker: StubBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body() -> int:
        return 1

    message = body.send()
    faults.fail("ack", when="after", times=3)
    drain()
    assert handle(message).get() == 1
    broker.join("default", timeout=1_000)
