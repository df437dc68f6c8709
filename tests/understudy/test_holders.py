"""Who holds a message, and whether that worker lives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.holders import Holder, holders
from understudy.testing.faults import Faults

Drain = Callable[..., int]
LEASE = 0.05


def look(broker: RedisBroker, *ids: str, beats: bool = False) -> dict[str, Holder]:
    def pause(seconds: float) -> None:
        if beats:
            broker.storage.call("HINCRBY", broker.storage.keys.leases, broker.worker_id, 1)

    return holders(broker.storage, {id: broker.records.read(id) for id in ids}, lease=LEASE, pause=pause)


@pytest.mark.parametrize("beats", [True, False])
def test_a_message_whose_body_runs_is_held_by_a_worker_that_lives_if_its_lease_is_renewed(
    broker: RedisBroker, drain: Drain, beats: bool
) -> None:
    seen: list[Holder] = []

    @actor
    def body() -> None:
        seen.append(look(broker, message.message_id, beats=beats)[message.message_id])

    message = body.send()
    drain()
    (holder,) = seen
    assert (holder.worker, holder.alive, holder.deaths) == (broker.worker_id, beats, 0)
    assert (holder.silent is None) is beats


def test_what_a_dead_worker_held_is_named_then_nobodys_and_its_deaths_are_counted(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    seen: list[Holder] = []

    @actor
    def body() -> None:
        seen.append(look(broker, message.message_id)[message.message_id])
        if len(seen) <= 2:
            faults.kill_worker()

    message = body.send()
    first = broker.worker_id
    drain()
    assert look(broker, message.message_id)[message.message_id].worker == first, "it died and nobody has noticed"
    freezer.tick(6)
    assert broker.upkeep.reaper.run_once() == [first]
    assert look(broker, message.message_id) == {message.message_id: Holder(None)}
    for _ in range(4):
        drain()
        freezer.tick(6)
    assert [holder.deaths for holder in seen] == [0, 1, 2]
    assert look(broker, message.message_id) == {}


def test_what_has_not_begun_or_has_ended_is_not_looked_for(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> int:
        return 1

    ended, waiting = body.send(), body.send_with_options(delay=60_000)
    drain()
    assert handle(ended).get() == 1
    assert look(broker, ended.message_id, waiting.message_id, "nobody-sent-this") == {}


def test_what_waits_for_its_retry_is_nobodys(broker: RedisBroker, drain: Drain) -> None:
    @actor(retry=Retry(1, backoff=60, jitter="none"))
    def body() -> None:
        raise ValueError

    message = body.send()
    drain()
    assert look(broker, message.message_id) == {message.message_id: Holder(None)}


def test_an_outage_is_told(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor(retry=Retry(1, backoff=60))
    def body() -> None:
        raise ValueError

    message = body.send()
    drain()
    record = broker.records.read(message.message_id)
    with faults.outage(), pytest.raises(ServerUnavailable):
        holders(broker.storage, {message.message_id: record}, lease=LEASE)
