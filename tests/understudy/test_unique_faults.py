"""``unique`` when senders race, exchanges fail, and workers die."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.test_unique import LEASE, refused
from understudy import AlreadyEnqueued, Retry, Unique, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def _die(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    drain()
    freezer.tick(LEASE)
    drain()


@pytest.mark.brokers("server")
def test_of_many_that_are_sent_at_once_one_stands(broker: RedisBroker, drain: Drain) -> None:
    senders, rounds = 8, 20

    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None: ...

    barrier = threading.Barrier(senders)
    accepted: list[list[str]] = [[] for _ in range(rounds)]
    told: list[list[str]] = [[] for _ in range(rounds)]

    def send() -> None:
        for x in range(rounds):
            barrier.wait(20)
            try:
                accepted[x].append(body.send(x).message_id)
            except AlreadyEnqueued as error:
                told[x].append(error.message_id)

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [len(ids) for ids in accepted] == [1] * rounds
    assert [set(ids) for ids in told] == [set(ids) for ids in accepted]
    assert sum(map(len, told)) == rounds * (senders - 1)
    assert drain() == rounds


@pytest.mark.brokers("server")
@pytest.mark.parametrize("of", ["the first", "the second"])
def test_a_call_that_the_client_sends_again_is_no_duplicate_of_itself(
    broker: RedisBroker, drain: Drain, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None: ...

    body.send(0)  # the script is known
    connection = type(broker.storage.client.connection_pool.get_connection())
    real, cut = connection.read_response, [of]

    def read_response(self: Any, *args: Any, **kwargs: Any) -> Any:
        reply = real(self, *args, **kwargs)
        if cut and cut.pop():
            raise redis.ConnectionError("the reply was cut off")
        return reply

    if of == "the first":
        monkeypatch.setattr(connection, "read_response", read_response)
        first = body.send(1)
    else:
        first = body.send(1)
        monkeypatch.setattr(connection, "read_response", read_response)
    assert refused(lambda: body.send(1)) == first.message_id
    assert cut == []
    assert drain() == 2


def test_a_sender_that_heard_nothing_is_told_of_its_own_message(
    broker: RedisBroker, drain: Drain, faults: Faults
) -> None:
    @actor(unique=Unique())
    def body() -> None: ...

    faults.fail("enqueue", when="before")
    with pytest.raises(ServerUnavailable):
        body.send()
    faults.fail("enqueue", when="after")
    with pytest.raises(ServerUnavailable):
        body.send_with_options(message_id="mine")
    assert refused(body.send) == "mine"
    assert drain() == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("exchange", ["fetch", "started", "settle"])
def test_a_fault_at_any_exchange_keeps_it_until_the_end_and_then_frees_it(
    broker: RedisBroker,
    drain: Drain,
    faults: Faults,
    freezer: FrozenDateTimeFactory,
    exchange: str,
    kill: bool,
    when: Any,
) -> None:
    told: list[str] = []

    @actor(unique=Unique(key="{x}"), retry=Retry())
    def body(x: int) -> None:
        told.append(refused(lambda: body.send(1)))

    first = body.send(1)
    if kill:
        faults.kill_at(exchange, when=when)
    else:
        faults.fail(exchange, when=when)
    for _ in range(3):
        if not handle(first).ready():
            assert refused(lambda: body.send(1)) == first.message_id
        _die(drain, freezer)
    assert faults.planned == 0
    assert handle(first).status == "SUCCESS"
    assert set(told) == {first.message_id}
    body.send(1)


def test_an_outage_says_nothing_of_duplicates(broker: RedisBroker, faults: Faults) -> None:
    @actor(unique=Unique())
    def body() -> None: ...

    with faults.outage(), pytest.raises(ServerUnavailable):
        body.send()
    body.send()
