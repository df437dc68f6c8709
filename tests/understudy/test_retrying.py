"""``raise retry(...)``. What Celery does of it is in ``tests/conformance/test_retrying.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.isolation import actors_for_tests as bodies
from understudy import Idempotency, Retry, Unique, actor, handle, retry
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError, RetryAsked
from understudy.execution import current
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def retries() -> int:
    execution = current()
    assert execution is not None
    return execution.retries


class Busy(Exception):
    retry_after = 30


def waits(enqueued: Enqueued) -> list[float]:
    return [sent.delay for sent in enqueued.sent if sent.delay is not None]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"exc": "text"}, "exc is an exception, not str"),
        ({"max_retries": True}, "max_retries is a whole number or None"),
        ({"delay": -1}, "retry: delay"),
    ],
)
def test_what_is_asked_wrongly_is_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, DeclarationError), match=text):
        retry(**wrong)


def test_outside_of_a_worker_nothing_is_asked() -> None:
    error = ValueError("no")
    assert retry(exc=error, args=(object(),)) is error
    assert isinstance(retry(), dramatiq.Retry)


def test_what_an_exception_says_is_the_wait_and_what_the_body_says_goes_before(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    @actor(retry=Retry(5, backoff=1, jitter="none"))
    def body() -> None:
        match retries():
            case 0:
                raise Busy
            case 1:
                raise retry(exc=Busy())
            case 2:
                raise retry(exc=Busy(), delay=3)
            case _:
                raise ValueError

    body.send()
    for _ in range(5):
        drain()
        freezer.tick(60)
    assert waits(enqueued) == [30, 30, 3, 8, 16]


def test_a_wait_that_is_told_has_the_maximum_of_the_policy_and_may_be_unheard(
    broker: RedisBroker, drain: Drain, enqueued: Enqueued
) -> None:
    @actor(retry=Retry(1, backoff=1, maximum=20, jitter="none"))
    def bounded() -> None:
        raise Busy

    @actor(retry=Retry(1, backoff=1, jitter="none", respect_retry_after=False))
    def deaf() -> None:
        raise Busy

    bounded.send()
    deaf.send()
    drain()
    assert sorted(waits(enqueued)) == [1, 20]


def test_new_arguments_must_fit_and_travel(broker: RedisBroker, drain: Drain) -> None:
    @actor(retry=Retry(3, backoff=0, never_on=TypeError))
    def body(value: Any) -> None:
        raise retry(args=(1, 2)) if value == "two" else retry(args=(object(),))

    two, unknown = handle(body.send("two")), handle(body.send("object"))
    drain()
    assert "the new arguments of body: too many positional" in str(two.result)
    assert "arguments[0][0]" in str(unknown.result)


def test_with_new_arguments_a_message_stays_the_same_work(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(3), idempotency=Idempotency(key="k:{n}"), unique=Unique())
    def body(n: int) -> int:
        ran.append(n)
        if n < 2:
            raise retry(args=(n + 1,), delay=1)
        return n

    first = handle(body.send(0))
    drain()
    freezer.tick(2)
    drain()
    freezer.tick(2)
    drain()
    assert (ran, first.get()) == ([0, 1, 2], 2)
    again = handle(body.send(0))
    drain()
    assert (ran, again.get()) == ([0, 1, 2], 2), "the key of the first arguments has the result"


def test_of_a_run_after_the_end_nothing_counts(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(2))
    def body() -> int:
        ran.append(retries())
        retry(exc=ValueError("enough"), delay=1, throw=False)
        return retries()

    found = handle(body.send())
    for _ in range(5):
        drain()
        freezer.tick(2)
    assert ran == [0, 1], "what the second run asks for is dropped with its outcome"
    assert found.get() == 0, "the first result is final"


def test_where_no_run_is_left_it_is_raised_all_the_same(broker: RedisBroker, drain: Drain) -> None:
    @actor(retry=Retry(0))
    def body() -> int:
        retry(exc=ValueError("enough"), throw=False)
        return 7

    found = handle(body.send())
    drain()
    assert isinstance(found.result, ValueError)


def test_a_body_in_a_process_of_its_own_asks_as_well(broker: RedisBroker, drain: Drain, enqueued: Enqueued) -> None:
    raised, gone_on = handle(bodies.asks_again.send(0)), handle(bodies.asks_and_goes_on.send())
    told = handle(bodies.is_told_to_wait.send())
    drain(isolation="process")
    assert (raised.status, gone_on.get(), told.status) == ("RETRY", "first", "RETRY")
    assert isinstance(raised.result, ValueError)
    again = {sent.message.actor_name: sent for sent in enqueued.sent if sent.delay is not None}
    names = [f"isolation.{name}" for name in ("asks_again", "asks_and_goes_on", "is_told_to_wait")]
    assert [again[name].delay for name in names] == [60, 60, 33]
    assert list(again["isolation.asks_again"].message.args) == [1]
    assert again["isolation.asks_and_goes_on"].message.message_id == gone_on.id


def test_it_is_control_flow_to_dramatiq() -> None:
    assert issubclass(RetryAsked, dramatiq.Retry)
