"""What a worker does not keep to itself: messages that only wait, and bodies that are stuck."""

from __future__ import annotations

import math
from collections.abc import Callable

from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, handle
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.brokers.sharing import BEYOND, give_up_stuck, limit_of, share
from understudy.states import State

Drain = Callable[..., int]


def fetch(broker: RedisBroker, count: int) -> list[HeldMessage]:
    consumer = broker.consume("default", prefetch=count, timeout=1)
    held = [next(consumer) for _ in range(count)]
    return [one for one in held if isinstance(one, HeldMessage)]


def say_idle(broker: RedisBroker, who: str) -> None:
    broker.storage.call("SET", broker.storage.keys.hungry("default"), who, "PX", 60_000)


def test_half_of_what_waits_goes_back_when_another_worker_is_idle(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor
    def work(number: int) -> None:
        ran.append(number)

    sent: list[Message[None]] = [work.send(number) for number in range(5)]
    held = fetch(broker, 5)
    assert share(broker) == 0, "nobody is idle"
    say_idle(broker, broker.worker_id)
    assert share(broker) == 0, "it is this one that said so"
    say_idle(broker, "another")
    assert share(broker) == 3
    assert [one.withdrawn for one in held] == [False, False, True, True, True]
    drain()
    assert sorted(ran) == [2, 3, 4]
    assert [handle(message).status for message in sent[2:]] == [State.SUCCESS] * 3


def test_a_body_that_has_begun_stays(broker: RedisBroker, drain: Drain) -> None:
    given: list[int] = []

    @actor
    def work() -> None:
        say_idle(broker, "another")
        given.append(share(broker))

    work.send()
    drain()
    assert given == [0]


def test_a_body_far_past_its_limit_is_given_up_and_its_outcome_refused(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    runs: list[int] = []

    @actor(time_limit=10)
    def work() -> int:
        runs.append(1)
        if len(runs) == 1:
            freezer.tick(10 + BEYOND - 1)
            assert give_up_stuck(broker) == 0
            freezer.tick(2)
            assert give_up_stuck(broker) == 1
        return len(runs)

    message = work.send()
    drain()
    assert handle(message).get() == 2
    assert broker.refused == 1


def test_the_limit_is_the_message_s_then_the_actor_s_then_the_default(broker: RedisBroker) -> None:
    @actor(time_limit=10)
    def limited() -> None:
        """Nothing."""

    @actor
    def plain() -> None:
        """Nothing."""

    limited.send_with_options(time_limit=4_000)
    limited.send()
    plain.send()
    held = fetch(broker, 3)
    assert [limit_of(broker, one) for one in held] == [4.0, 10.0, math.inf]
    broker.settings = broker.settings.model_copy(update={"default_time_limit": 7.0})
    assert [limit_of(broker, one) for one in held] == [4.0, 10.0, 7.0]
