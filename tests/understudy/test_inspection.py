from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import client, progress
from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import ServerUnavailable
from understudy.inspection import Inspection, Queue, attempts, describe, open_storage
from understudy.options import Retry
from understudy.records import Record
from understudy.settings import Settings
from understudy.states import State

Drain = Callable[..., int]

pytestmark = pytest.mark.brokers("server")


def send(name: str, **options: object) -> None:
    client.send_with_options(name, queue_name="mail", **options)  # type: ignore[arg-type]


def test_a_server_says_how_it_is(broker: SettlingBroker) -> None:
    facts = Inspection(broker.storage).server()
    assert facts.product.startswith(("Valkey ", "Redis "))
    assert facts.version >= (6, 2)
    assert (facts.role, facts.cluster) == ("master", False)
    assert (facts.aof, facts.aof_healthy, facts.fsync) == (True, True, "everysec")
    assert (facts.policy, facts.max_memory) == ("noeviction", 0)
    assert facts.memory > 0
    assert abs(facts.clock_difference) < 1
    assert facts.round_trip > 0


def test_a_queue_tells_waiting_delayed_and_dead_messages_apart(broker: SettlingBroker, drain: Drain) -> None:
    @actor(queue_name="mail", broker=broker)
    def fail() -> None:
        raise ValueError("no")

    send("fail")
    drain()
    send("fail")
    send("fail")
    send("fail", delay=3600)
    (queue,) = Inspection(broker.storage).queues({"mail"})
    assert queue == Queue("mail", waiting=2, in_hand=0, delayed=1, dead=1, announced=True)


def test_a_queue_that_nobody_announced_is_found_by_its_messages(broker: SettlingBroker) -> None:
    inspection = Inspection(broker.storage)
    assert inspection.queues(set()) == []
    client.send_with_options("x", queue_name="mail")
    client.send_with_options("x", queue_name="later", delay=60)
    found = inspection.queues({"quiet"})
    assert [(queue.name, queue.waiting, queue.delayed, queue.announced) for queue in found] == [
        ("later", 0, 1, False),
        ("mail", 1, 0, False),
        ("quiet", 0, 0, True),
    ]


def test_fetched_messages_are_in_hand(broker: SettlingBroker) -> None:
    for _ in range(3):
        client.send_with_options("x", queue_name="mail")
    consumer = broker.consume("mail", prefetch=2)
    assert next(consumer) is not None
    (queue,) = Inspection(broker.storage).queues({"mail"})
    assert (queue.waiting, queue.in_hand) == (1, 2)


def test_announced_actors_are_listed_by_name(broker: SettlingBroker) -> None:
    broker.records.announce({"write": "mail", "add": "sums"})
    assert list(Inspection(broker.storage).actors().items()) == [("add", "sums"), ("write", "mail")]


def test_a_worker_is_seen_until_it_was_silent_for_too_long(
    broker: SettlingBroker, freezer: FrozenDateTimeFactory
) -> None:
    inspection = Inspection(broker.storage)
    assert inspection.workers(5) == []
    next(broker.consume("mail", timeout=1))
    freezer.tick(3)
    (worker,) = inspection.workers(5)
    assert worker.seen == pytest.approx(3)
    freezer.tick(3)
    assert inspection.workers(5) == []


def test_neither_sending_nor_looking_makes_a_worker(broker: SettlingBroker) -> None:
    inspection = Inspection(broker.storage)
    client.send_with_options("x", queue_name="mail")
    inspection.queues({"mail"})
    inspection.server()
    assert inspection.workers(5) == []


def test_attempts_are_counted_through_retries(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen = []

    @actor(queue_name="mail", broker=broker, retry=Retry(1, backoff=10, jitter="none"))
    def fail() -> None:
        seen.append(attempts(broker.records.read("m1")))
        raise ValueError("no")

    assert attempts(broker.records.read("m1")) == 0
    send("fail", message_id="m1")
    drain()
    assert attempts(broker.records.read("m1")) == 1
    freezer.tick(11)
    drain()
    assert seen == [1, 2]
    assert attempts(broker.records.read("m1")) == 2


def test_an_unknown_id_is_described_as_pending_and_unknown() -> None:
    row = describe("m1", Record())
    assert (row["id"], row["state"], row["known"], row["attempts"]) == ("m1", "PENDING", False, 0)
    assert {row[name] for name in ("actor", "progress", "result", "exception", "done_at")} == {None}


def test_a_success_is_described_with_its_result_and_times(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(queue_name="mail", broker=broker)
    def work() -> list[int]:
        progress.update(1, 2, doing="this")
        return [1, 2]

    send("work", message_id="m1")
    drain()
    row = describe("m1", broker.records.read("m1"))
    assert (row["state"], row["actor"], row["queue"], row["known"]) == (State.SUCCESS, "work", "mail", True)
    assert row["result"] == [1, 2]
    assert row["progress"] == {"current": 1, "total": 2, "doing": "this"}
    assert row["started_at"] == row["done_at"] == "2026-03-01T12:00:00.000+00:00"
    assert row["expires_at"] == "2026-03-02T12:00:00.000+00:00"
    assert row["exception"] is None
    json.dumps(row)


def test_a_failure_is_described_with_its_exception_by_name(broker: SettlingBroker, drain: Drain) -> None:
    @actor(queue_name="mail", broker=broker)
    def fail() -> None:
        raise ValueError("no")

    send("fail", message_id="m1")
    drain()
    row = describe("m1", broker.records.read("m1"))
    assert row["exception"] == {"type": "ValueError", "message": "no"}
    assert row["traceback"].endswith("ValueError: no\n")


def test_a_look_at_a_server_that_is_away_fails_once_and_at_once() -> None:
    storage = open_storage(Settings(redis_url="redis://127.0.0.1:1/0"), timeout=5)
    tries = []
    storage.interceptor = lambda name, when: tries.append((name, when))
    with pytest.raises(ServerUnavailable):
        Inspection(storage).server()
    assert tries == [("PING", "before")]
