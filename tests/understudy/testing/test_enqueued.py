from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, chain, step
from understudy.brokers.settlement import SettlingBroker
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def test_what_was_sent_is_asserted(broker: SettlingBroker, enqueued: Enqueued) -> None:
    @actor
    def body(x: int, y: int = 0) -> None: ...

    enqueued.assert_nothing()
    body.send(1, y=2)
    body.send(1, y=2)
    assert len(enqueued.assert_sent(body, 1, y=2, times=2)) == 2
    enqueued.assert_sent("body", 3, times=0)
    enqueued.assert_nothing("other")
    with pytest.raises(AssertionError, match=r"sent 2 times, not 1; sent were:\n.*body"):
        enqueued.assert_sent(body, 1, y=2)
    with pytest.raises(AssertionError, match="sent were"):
        enqueued.assert_nothing(body)


def test_nothing_sent_reads_so(broker: SettlingBroker, enqueued: Enqueued) -> None:
    with pytest.raises(AssertionError, match="nothing"):
        enqueued.assert_sent("body")


def test_a_delayed_message_counts_once(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    @actor(retry=Retry(1, backoff=5, jitter="none"))
    def body() -> None:
        raise ValueError

    body.send_with_options(delay=10_000)
    for _ in range(3):
        drain()
        freezer.tick(10)
    assert [sent.delay for sent in enqueued.sent] == [10, 5]


def test_the_steps_of_a_workflow_are_seen_when_they_begin(
    broker: SettlingBroker, enqueued: Enqueued, drain: Drain
) -> None:
    @actor
    def first() -> None: ...

    @actor
    def second() -> None: ...

    chain(first.message(), step(second.message(), immutable=True)).run()
    assert enqueued.begun == set()
    drain()
    assert enqueued.begun == {"first", "second"}
