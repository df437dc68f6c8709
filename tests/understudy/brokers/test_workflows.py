"""Members of groups on their way to their queues, and messages that end without an outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy import actor, chain, group, handle
from understudy.brokers.redis import RedisBroker
from understudy.brokers.workflows import fan
from understudy.errors import ServerUnavailable
from understudy.plans import pages
from understudy.testing.faults import Faults

from .helpers import dead_letters, put

Drain = Callable[..., int]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)


def test_a_sender_that_dies_leaves_the_rest_to_the_workers(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body(number: int) -> int:
        return number

    faults.fail("fan", nth=2, times=1)
    found = group(body.message(number) for number in range(7)).run()
    assert broker.size("default") == 2
    assert drain() == 7
    assert found.get() == list(range(7))
    assert fan(broker) == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_page_whose_reply_was_lost_is_moved_once(
    broker: RedisBroker, drain: Drain, faults: Faults, when: Any
) -> None:
    @actor
    def body(number: int) -> int:
        return number

    faults.fail("fan", nth=2, when=when)
    found = group(body.message(number) for number in range(5)).run()
    assert drain() == 5
    assert found.get() == list(range(5))


def test_a_page_that_cannot_be_moved_is_tried_again(broker: RedisBroker, drain: Drain) -> None:
    @actor(queue_name="other")
    def body(number: int) -> int:
        return number

    stream = broker.keys_of("other").streams[1]
    broker.storage.client.set(stream, "not ours")
    found = group(body.message(number) for number in range(3)).run()
    with pytest.raises(ServerUnavailable, match="nothing was moved"):
        fan(broker)
    broker.storage.client.delete(stream)
    assert drain() == 3
    assert found.get() == [0, 1, 2]


def test_a_step_that_cannot_be_read_stops_what_comes_after_it(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> int:
        return 1

    found = chain(body.message(), body.message()).run()
    broker.flush("default")
    put(broker, b'{"message_id": "%s.1", "options": {"workflow": {"to": "default:2"}}}' % found.workflow_id.encode())
    drain()
    assert [handle(f"{found.workflow_id}.{node}").status for node in (1, 2)] == ["FAILURE", "FAILURE"]
    assert found.failed()
    assert len(dead_letters(broker)) == 1
