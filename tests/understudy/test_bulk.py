"""Many messages at once: all of them, in order, in few round trips; and what is told when it stops half-way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq import Message

import understudy
from understudy import actor, send_many
from understudy.brokers import queueing
from understudy.brokers.redis import RedisBroker
from understudy.errors import MessageTooLarge, SerializationError, ServerUnavailable
from understudy.testing.faults import Faults

Drain = Callable[..., int]
BATCH = 5


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "BATCH", BATCH)


@pytest.fixture
def ran(broker: RedisBroker) -> list[int]:
    found: list[int] = []

    @actor(actor_name="note")
    def note(x: Any) -> None:
        found.append(x)

    return found


def messages(broker: RedisBroker, count: int) -> Iterator[Message[Any]]:
    for x in range(count):
        yield broker.actors["note"].message(x)


def test_many_go_in_few_round_trips_and_run_in_order(
    broker: RedisBroker, ran: list[int], faults: Faults, drain: Drain
) -> None:
    count = 2 * BATCH + 1
    assert send_many(messages(broker, count)) == count
    assert faults.exchanges.count("enqueue") == 3
    drain()
    assert ran == list(range(count))


def test_delayed_ones_run_when_they_are_due(broker: RedisBroker, ran: list[int], drain: Drain, freezer: Any) -> None:
    send_many(messages(broker, 3), delay=timedelta(seconds=10))
    drain()
    assert ran == []
    freezer.tick(10)
    drain()
    assert sorted(ran) == [0, 1, 2]


def test_hooks_are_called_for_every_one(broker: RedisBroker, ran: list[int]) -> None:
    told: list[tuple[str, int, int | None]] = []

    class Hook(dramatiq.Middleware):
        def before_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
            told.append(("before", message.args[0], delay))

        def after_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
            told.append(("after", message.args[0], delay))

    broker.add_middleware(Hook())
    send_many(messages(broker, 2), delay=1)
    assert told == [("before", 0, 1000), ("before", 1, 1000), ("after", 0, 1000), ("after", 1, 1000)]


def test_none_is_none(broker: RedisBroker, ran: list[int]) -> None:
    assert send_many([]) == 0


@pytest.mark.parametrize(
    ("wrong", "error"),
    [(object(), SerializationError), ("x" * 2_000, MessageTooLarge)],
)
def test_a_wrong_one_is_told_with_how_many_were_accepted(
    broker: RedisBroker, ran: list[int], drain: Drain, wrong: object, error: type[Exception]
) -> None:
    broker.settings = broker.settings.model_copy(update={"max_message_size": 1_500})

    def source() -> Iterator[Message[Any]]:
        yield from messages(broker, BATCH + 2)
        yield Message(queue_name="default", actor_name="note", args=(wrong,), kwargs={}, options={})

    with pytest.raises(error) as told:
        send_many(source())
    assert isinstance(told.value, understudy.UnderstudyError)
    assert told.value.accepted == BATCH
    assert told.value.__notes__ == [f"{BATCH} messages before were accepted"]
    drain()
    assert ran == list(range(BATCH))


def test_an_outage_is_told_with_how_many_were_accepted(
    broker: RedisBroker, ran: list[int], faults: Faults, drain: Drain
) -> None:
    faults.fail("enqueue", nth=2)
    with pytest.raises(ServerUnavailable) as told:
        send_many(messages(broker, 2 * BATCH))
    assert told.value.accepted == BATCH
    drain()
    assert ran == list(range(BATCH))


def test_what_is_not_a_message_is_refused_by_its_place(broker: RedisBroker, ran: list[int]) -> None:
    with pytest.raises(TypeError, match="number 1 is not a message but int"):
        send_many([broker.actors["note"].message(1), 2])  # type: ignore[list-item]
    late = broker.actors["note"].message_with_options(args=(1,), when="committed")
    with pytest.raises(TypeError, match='number 0 was built with when="committed"'):
        send_many([late])
    assert ran == []
