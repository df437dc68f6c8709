"""Sending by name, for services that cannot import the actors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from understudy import Idempotency, actor, chain, client
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import (
    DeclarationError,
    MessageTooLarge,
    SerializationError,
    ServerUnavailable,
    UnknownActor,
)
from understudy.handle import handle
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults


@pytest.fixture(autouse=True)
def _announced(broker: SettlingBroker) -> None:
    broker.records.announce({"count_words": "texts"})


def test_a_message_goes_to_the_queue_that_a_worker_announced(enqueued: Enqueued) -> None:
    message = client.send("count_words", "a b", lower=True)
    assert (message.queue_name, message.actor_name) == ("texts", "count_words")
    enqueued.assert_sent("count_words", "a b", lower=True)


def test_the_actor_runs_in_a_worker_that_knows_it(drain: Callable[..., int]) -> None:
    @actor(queue_name="texts")
    def count_words(text: str) -> int:
        return len(text.split())

    message = client.send("count_words", "a b c")
    drain()
    assert handle(message).get() == 3


def test_wrong_arguments_are_a_failure_in_the_worker(drain: Callable[..., int]) -> None:
    @actor(queue_name="texts")
    def count_words(text: str) -> int:
        return len(text.split())

    message = client.send("count_words", txt="a")
    drain()
    assert handle(message).status == "FAILURE"
    with pytest.raises(TypeError, match="unexpected keyword argument 'txt'"):
        handle(message).get()


def test_an_actor_of_this_process_needs_no_announcement(enqueued: Enqueued) -> None:
    @actor(queue_name="local")
    def here() -> None: ...

    assert client.send("here").queue_name == "local"


def test_an_unknown_actor_is_named_with_the_nearest_announced_one(enqueued: Enqueued) -> None:
    with pytest.raises(UnknownActor, match="'count_word'; did you mean 'count_words'"):
        client.send("count_word")
    enqueued.assert_nothing()


def test_with_a_queue_name_nobody_needs_to_have_announced_it(enqueued: Enqueued, faults: Faults) -> None:
    client.send_with_options("new_actor", args=(1,), queue_name="new")
    enqueued.assert_sent("new_actor", 1)
    assert faults.exchanges == ["HSET", "enqueue"], "no look-up where none is needed"


def test_all_options_reach_the_message(enqueued: Enqueued) -> None:
    message = client.send_with_options(
        "count_words", kwargs={"text": "a"}, delay=timedelta(seconds=1.5), message_id="mine", idempotency_key="k"
    )
    assert message.message_id == "mine"
    assert enqueued.sent[0].delay == 1.5
    assert enqueued.sent[0].message.options["idempotency_key"] == "k"
    client.send_with_options("count_words", delay=2)
    assert enqueued.sent[1].delay == 2.0


@pytest.mark.parametrize("limit", [timedelta(seconds=1.5), 1.5])
def test_a_time_limit_is_a_timedelta_or_seconds(limit: Any, enqueued: Enqueued) -> None:
    client.send_with_options("count_words", time_limit=limit, priority=3, when="now")
    options = enqueued.sent[0].message.options
    assert (options["time_limit"], options["priority"]) == (1_500, 3)


def test_an_idempotency_key_sent_by_name_is_kept(drain: Callable[..., int]) -> None:
    runs: list[str] = []

    @actor(queue_name="texts", idempotency=Idempotency())
    def count_words(text: str) -> int:
        runs.append(text)
        return 1

    for _ in range(2):
        client.send_with_options("count_words", args=("a",), idempotency_key="once")
    drain()
    assert runs == ["a"]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"idempotency_kye": "a"}, TypeError, "did you mean 'idempotency_key'"),
        ({"mesage_id": "a"}, TypeError, "did you mean 'message_id'"),
        ({"queuename": "a"}, TypeError, "did you mean 'queue_name'"),
        ({"idempotency_key": ""}, TypeError, "not empty"),
        ({"message_id": 7}, TypeError, "message_id is a text"),
        ({"delay": -1}, DeclarationError, "delay must be zero or more"),
        ({"delay": "5"}, TypeError, "delay is a timedelta or a number of seconds"),
        ({"time_limt": 5}, TypeError, "did you mean 'time_limit'"),
        ({"time_limit": "5"}, TypeError, "time_limit is a timedelta or a number of seconds"),
        ({"time_limit": 0}, DeclarationError, "time_limit must be more than zero"),
        ({"priority": "high"}, TypeError, "priority is a whole number, not 'high'"),
        ({"when": "comitted"}, DeclarationError, "when is one of now, committed.*did you mean 'committed'"),
        ({"args": ({1},)}, SerializationError, r"args\[0\]: is a set"),
        ({"kwargs": {"a": [b"", object()]}}, SerializationError, r"kwargs\['a'\]\[1\]: is a object"),
        ({"args": ("x" * 2_000,)}, MessageTooLarge, "2,.* bytes when encoded, the limit is 1,024"),
    ],
)
def test_what_is_refused_is_not_enqueued(
    options: dict[str, Any], error: type[Exception], told: str, broker: SettlingBroker, enqueued: Enqueued
) -> None:
    broker.settings = broker.settings.model_copy(update={"max_message_size": 1024})
    with pytest.raises(error, match=told):
        client.send_with_options("count_words", **options)
    enqueued.assert_nothing()


def test_in_an_outage_nothing_is_accepted(faults: Faults, enqueued: Enqueued) -> None:
    with faults.outage(), pytest.raises(ServerUnavailable):
        client.send("count_words")
    with faults.outage(), pytest.raises(ServerUnavailable):
        client.send_with_options("count_words", queue_name="texts")
    enqueued.assert_nothing()


def test_a_message_by_name_is_a_step_that_is_not_sent(broker: SettlingBroker, drain: Callable[..., int]) -> None:
    @actor(broker=broker, queue_name="far")
    def far(number: int, more: int = 0) -> int:
        return number + more

    message = client.message("far", 1, more=2)
    assert (message.queue_name, message.actor_name, message.args, message.kwargs) == ("far", "far", (1,), {"more": 2})
    assert drain() == 0
    found = chain(message).run()
    drain()
    assert found.get() == 3
    with pytest.raises(UnknownActor):
        client.message("nobody")
    assert client.message("nobody", queue_name="far").queue_name == "far"
