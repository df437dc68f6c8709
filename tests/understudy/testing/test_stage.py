"""Each test stands on a broker of its own, and leaves nothing behind."""

from __future__ import annotations

import dramatiq
import dramatiq.broker
import pytest
import redis
from freezegun.api import FrozenDateTimeFactory

import tasks
from understudy import actor, handle
from understudy.brokers.settlement import SettlingBroker
from understudy.storage.client import connect
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.stage import Kind, stage


@pytest.mark.parametrize("kind", ["stub", "server"])
def test_declared_actors_stand_on_it_and_return(kind: Kind, server_url: str) -> None:
    base = tasks.broker
    before = dict(base.actors)
    with stage(kind, server_url=server_url, faults=Faults(), enqueued=Enqueued()) as staged:
        assert dramatiq.broker.global_broker is staged
        assert set(staged.actors) == set(before)
        assert all(found.broker is staged for found in before.values())

        @actor
        def local() -> None: ...

    assert dramatiq.broker.global_broker is base
    assert base.actors == before
    assert all(found.broker is base for found in before.values())


def test_an_actor_of_a_module_that_is_first_imported_in_a_test_is_kept() -> None:
    def imported() -> None: ...

    imported.__qualname__ = "imported"
    base = tasks.broker
    with stage("stub", server_url=None, faults=Faults(), enqueued=Enqueued()):
        found = actor(imported)
    assert base.actors.pop("imported") is found
    assert found.broker is base


def test_nothing_is_left_on_the_server(server_url: str, freezer: FrozenDateTimeFactory) -> None:
    client: redis.Redis = connect(server_url)
    with stage("server", server_url=server_url, faults=Faults(), enqueued=Enqueued()) as staged:
        pattern = staged.storage.keys.pattern()

        @actor
        def body() -> None: ...

        body.send()
        assert handle("x").status == "PENDING"
        assert client.get(staged.storage.keys.clock) is not None
        assert list(client.scan_iter(match=pattern))
    assert list(client.scan_iter(match=pattern)) == []
    client.close()


def test_frozen_time_is_the_time_of_the_server_until_it_thaws(broker: SettlingBroker) -> None:
    import freezegun

    key = broker.storage.keys.clock
    with freezegun.freeze_time("2026-03-01T12:00:00+00:00") as frozen:
        assert handle("x").status == "PENDING"
        first = int(broker.storage.client.get(key))  # type: ignore[arg-type]
        frozen.tick(1.5)
        assert handle("x").status == "PENDING"
        second = int(broker.storage.client.get(key))  # type: ignore[arg-type]
    assert second - first == 1_500
    assert handle("x").status == "PENDING"
    assert broker.storage.client.get(key) is None
