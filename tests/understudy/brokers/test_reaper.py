"""Who is taken for dead, and when. Frozen time: a lease is 5 seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import pending
from understudy import actor, handle, progress
from understudy.brokers.reaper import Reaper
from understudy.brokers.redis import RedisBroker
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.testing.faults import Faults

Drain = Callable[..., int]
LEASE = 5.0


def dead_worker(broker: RedisBroker, count: int = 1) -> str:
    """A worker that holds messages and has died."""

    @actor
    def body(x: int) -> int:
        return x

    for x in range(count):
        body.send(x)
    source = broker.consume("default", prefetch=count, timeout=1)
    while len(broker.holds) < count:
        next(source)
    name = broker.worker_id
    broker.abandon()
    return name


def held(broker: RedisBroker) -> int:
    return sum(pending(broker.storage, stream) for stream in broker.keys_of("default").streams)


def observe(reaper: Reaper, freezer: FrozenDateTimeFactory, seconds: float, step: float = 1.0) -> list[str]:
    """Look every ``step`` seconds; who was found dead."""
    found: list[str] = []
    for _ in range(int(seconds / step)):
        freezer.tick(step)
        found += reaper.run_once()
    return found


def test_a_lease_is_lost_after_its_whole_length_unrenewed_and_not_before(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    name = dead_worker(broker, 3)
    reaper = Reaper(broker)
    assert reaper.run_once() == []
    assert observe(reaper, freezer, 4) == []
    freezer.tick(0.999)
    assert reaper.run_once() == []
    assert held(broker) == 3
    freezer.tick(0.001)
    assert reaper.run_once() == [name]
    assert held(broker) == 0
    assert broker.size("default") == 3


def test_a_beat_begins_the_lease_anew(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    name = dead_worker(broker)
    reaper = Reaper(broker)
    reaper.run_once()
    for _ in range(10):
        assert observe(reaper, freezer, 4) == []
        broker.storage.run("beat", [broker.storage.keys.leases], [name])
    assert held(broker) == 1


def test_after_an_outage_a_full_lease_is_observed_first(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    name = dead_worker(broker)
    reaper = Reaper(broker)
    reaper.run_once()
    assert observe(reaper, freezer, 4) == []
    with faults.outage():
        freezer.tick(1)
        with pytest.raises(ServerUnavailable):
            reaper.run_once()
    reaper.run_once()
    assert observe(reaper, freezer, 4) == []
    assert observe(reaper, freezer, 1) == [name]


def test_an_outage_in_the_middle_of_a_look_counts_too(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    dead_worker(broker)
    reaper = Reaper(broker)
    reaper.run_once()
    observe(reaper, freezer, 4)
    faults.fail("consumers")
    freezer.tick(1)
    with pytest.raises(ServerUnavailable):
        reaper.run_once()
    assert reaper.run_once() == []


def test_a_reaper_that_could_not_look_for_a_while_observes_a_full_lease_again(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    """It was stopped, or its machine was: the others may have been, too."""
    name = dead_worker(broker)
    reaper = Reaper(broker)
    reaper.run_once()
    freezer.tick(60)
    assert reaper.run_once() == []
    assert observe(reaper, freezer, 4) == []
    assert observe(reaper, freezer, 1) == [name]


def test_a_worker_that_beats_between_the_look_and_the_reaping_keeps_all(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    name = dead_worker(broker)
    reaper = Reaper(broker)
    reaper.run_once()
    observe(reaper, freezer, 4)
    inner = reaper._reap

    def late(worker: str, count: str) -> int:
        broker.storage.run("beat", [broker.storage.keys.leases], [name])
        return inner(worker, count)

    reaper._reap = late  # type: ignore[method-assign]
    freezer.tick(1)
    reaper.run_once()
    assert held(broker) == 1
    assert broker.storage.call("HEXISTS", broker.storage.keys.leases, name)


def test_a_worker_that_holds_something_and_has_no_lease_is_found_too(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    name = dead_worker(broker)
    broker.storage.client.hdel(broker.storage.keys.leases, name)
    reaper = Reaper(broker)
    reaper.run_once()
    assert observe(reaper, freezer, 5) == [name]
    assert held(broker) == 0


def test_nothing_is_left_of_the_dead(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    name = dead_worker(broker)
    reaper = Reaper(broker)
    reaper.run_once()
    observe(reaper, freezer, 5)
    assert observe(reaper, freezer, 20) == []
    assert not broker.storage.call("HEXISTS", broker.storage.keys.leases, name)
    left = list(broker.storage.client.scan_iter(match=f"*:worker:{name}:*"))
    assert left == []


def test_two_reapers_give_back_everything_once(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    dead_worker(broker, 250)
    reapers = [Reaper(broker), Reaper(broker)]
    for _ in range(8):
        for reaper in reapers:
            reaper.run_once()
        freezer.tick(1)
    assert held(broker) == 0
    assert broker.size("default") == 250


@pytest.mark.parametrize("exchange", ["reap", "bury"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reaper_that_is_cut_off_loses_nothing(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, faults: Faults, exchange: str, when: str
) -> None:
    dead_worker(broker, 150)
    reaper = Reaper(broker)
    reaper.run_once()
    observe(reaper, freezer, 4)
    faults.fail(exchange, when=when)  # type: ignore[arg-type]
    freezer.tick(1)
    with pytest.raises(ServerUnavailable):
        reaper.run_once()
    for _ in range(12):
        freezer.tick(1)
        reaper.run_once()
    assert held(broker) == 0
    assert broker.size("default") == 150


def test_a_queue_whose_streams_were_deleted_stops_nobody(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    name = dead_worker(broker)
    broker.storage.call("SADD", broker.storage.keys.queues, "gone")
    reaper = Reaper(broker)
    reaper.run_once()
    assert observe(reaper, freezer, 5) == [name]


def test_a_worker_without_its_own_lease_goes_on_under_a_new_name_and_its_bodies_learn_it(
    broker: RedisBroker, drain: Drain
) -> None:
    learned: list[LeaseLost] = []
    names: list[str] = []

    @actor
    def body() -> str:
        if learned:
            return "second"
        names.append(broker.worker_id)
        # Another worker took this one for dead, gave back what it held and buried it.
        reaper = Reaper(broker)
        broker.worker_id, reaper_name = "other", broker.worker_id
        count = (broker.storage.call("HGET", broker.storage.keys.leases, reaper_name) or b"").decode()
        reaper._counts()
        reaper._reap(reaper_name, count)
        broker.worker_id = reaper_name
        broker.upkeep.reaper.run_once()
        names.append(broker.worker_id)
        try:
            progress.update(1)
        except LeaseLost as error:
            learned.append(error)
            raise
        return "first"

    message = body.send()
    drain()
    assert len(learned) == 1
    assert names[0] != names[1]
    assert handle(message).get() == "second"
    assert broker.refused == 1
