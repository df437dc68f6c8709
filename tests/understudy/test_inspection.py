from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import client, progress
from understudy.actors import actor
from understudy.brokers.names import QueueKeys
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.holds import GROUP
from understudy.inspection import Inspection, Queue, Worker, attempts, describe, open_storage, server_now
from understudy.options import Retry
from understudy.records import Record
from understudy.settings import Settings
from understudy.states import State
from understudy.storage.client import Storage
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def send(name: str, **options: object) -> None:
    client.send_with_options(name, queue_name="mail", **options)  # type: ignore[arg-type]


@pytest.mark.brokers("server")
def test_a_server_says_how_it_is(broker: RedisBroker) -> None:
    facts = Inspection(broker.storage).server()
    assert facts.product.startswith(("Valkey ", "Redis "))
    assert facts.version >= (6, 2)
    assert (facts.role, facts.cluster) == ("master", False)
    assert (facts.aof, facts.aof_healthy, facts.fsync) == (True, True, "everysec")
    assert (facts.policy, facts.max_memory) == ("noeviction", 0)
    assert facts.memory > 0
    assert abs(facts.clock_difference) < 1
    assert facts.round_trip > 0


def test_a_queue_tells_waiting_delayed_and_dead_messages_apart(broker: RedisBroker, drain: Drain) -> None:
    @actor(queue_name="mail", broker=broker)
    def fail() -> None:
        raise ValueError("no")

    send("fail")
    drain()
    send("fail")
    send("fail")
    send("fail", delay=3600)
    (queue,) = [queue for queue in Inspection(broker.storage).queues({"mail"}) if queue.name == "mail"]
    assert queue.oldest is not None
    assert replace(queue, oldest=None) == Queue("mail", waiting=2, held=0, delayed=1, dead=1, announced=True)


def test_a_queue_that_nobody_announced_is_found_by_its_messages(broker: RedisBroker) -> None:
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


def test_a_queue_that_was_consumed_is_known_when_it_is_empty(broker: RedisBroker) -> None:
    next(broker.consume("mail", timeout=1))
    (queue,) = Inspection(broker.storage).queues(set())
    assert queue == Queue("mail", waiting=0, held=0, delayed=0, dead=0, announced=False)


def test_fetched_messages_are_held_by_their_worker(broker: RedisBroker) -> None:
    for _ in range(3):
        client.send_with_options("x", queue_name="mail")
    consumer = broker.consume("mail", prefetch=2)
    assert next(consumer) is not None
    (queue,) = Inspection(broker.storage).queues({"mail"})
    assert (queue.waiting, queue.held) == (1, 2)
    assert queue.holders == {broker.worker_id: 2}


def test_messages_of_all_priorities_wait(broker: RedisBroker) -> None:
    for priority in (-1, 0, 1):
        client.send_with_options("x", queue_name="mail", priority=priority)
    (queue,) = Inspection(broker.storage).queues({"mail"})
    assert queue.waiting == 3


def test_the_age_of_what_waits_is_that_of_the_oldest_that_nobody_holds(broker: RedisBroker) -> None:
    keys, now = broker.keys_of("mail"), server_now(broker.storage)
    inspection = Inspection(broker.storage)

    def waits() -> float | None:
        (queue,) = inspection.queues({"mail"})
        return queue.oldest

    assert waits() is None
    for seconds in (300, 100):
        broker.storage.call("XADD", keys.streams[1], f"{int((now - seconds) * 1000)}-0", "m", "x")
    assert waits() == pytest.approx(300, abs=10)
    broker.storage.call("XGROUP", "CREATE", keys.streams[1], GROUP, "0")
    assert waits() == pytest.approx(300, abs=10)
    broker.storage.call("XREADGROUP", "GROUP", GROUP, "w", "COUNT", 1, "STREAMS", keys.streams[1], ">")
    assert waits() == pytest.approx(100, abs=10)
    broker.storage.call("XREADGROUP", "GROUP", GROUP, "w", "COUNT", 1, "STREAMS", keys.streams[1], ">")
    assert waits() is None


def test_a_delayed_message_that_nobody_promotes_is_overdue(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    client.send_with_options("x", queue_name="mail", delay=60)
    inspection = Inspection(broker.storage)
    freezer.tick(59)
    assert [queue.overdue for queue in inspection.queues(set())] == [0]
    freezer.tick(31)
    assert [queue.overdue for queue in inspection.queues(set())] == [30]


def test_poison_is_told_from_other_dead_letters(broker: RedisBroker) -> None:
    keys = broker.keys_of("mail")
    broker.storage.call("ZADD", keys.dead, 1, "m1|mail/2/1-0", 2, "m2|mail/dead/2-0", 3, "?|mail/1/3-0")
    (queue,) = Inspection(broker.storage).queues({"mail"})
    assert (queue.dead, queue.poison) == (3, 1)


def test_a_namespace_is_taken_as_it_is_written(broker: RedisBroker) -> None:
    mine = Storage(broker.storage.client, namespace=f"{broker.storage.keys.namespace}-[a]*")
    other = Storage(broker.storage.client, namespace=f"{broker.storage.keys.namespace}-a-")
    for storage in (mine, other):
        storage.client.zadd(QueueKeys(storage.keys.namespace, storage.keys.namespace[-1]).delayed, {"m|1": 1})
    try:
        assert [queue.name for queue in Inspection(mine).queues(set())] == ["*"]
    finally:
        mine.client.delete(QueueKeys(mine.keys.namespace, "*").delayed)


def test_announced_actors_are_listed_by_name(broker: RedisBroker) -> None:
    broker.records.announce({"write": "mail", "add": "sums"})
    assert list(Inspection(broker.storage).actors().items()) == [("add", "sums"), ("write", "mail")]


def look(broker: RedisBroker, **options: Any) -> list[Worker]:
    inspection = Inspection(broker.storage)
    return inspection.workers(inspection.queues(set()), **{"lease": 5, **options})


def test_a_worker_that_asked_for_messages_lives(broker: RedisBroker) -> None:
    assert look(broker) == []
    client.send_with_options("x", queue_name="mail")
    next(broker.consume("mail", timeout=1))
    (worker,) = look(broker)
    assert (worker.id, worker.holds, worker.beats, worker.alive) == (broker.worker_id, 1, 1, True)


def test_a_busy_worker_lives_when_its_lease_is_renewed_while_we_watch(broker: RedisBroker) -> None:
    leases, pauses = broker.storage.keys.leases, list[float]()
    broker.storage.call("HSET", leases, "busy", 7, "gone", 3)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        broker.storage.call("HINCRBY", leases, "busy", 1)

    workers = look(broker, patience=5, pause=pause)
    assert [(worker.id, worker.alive) for worker in workers] == [("busy", True), ("gone", False)]
    assert sum(pauses) == pytest.approx(5, abs=0.2)


def test_who_was_not_watched_for_a_whole_lease_is_not_called_dead(broker: RedisBroker) -> None:
    broker.storage.call("HSET", broker.storage.keys.leases, "long", 7)
    (worker,) = look(broker, lease=60, patience=3, pause=lambda seconds: None)
    assert (worker.alive, worker.idle, worker.beats) == (None, None, 7)


def test_who_holds_messages_without_a_lease_is_dead(broker: RedisBroker) -> None:
    client.send_with_options("x", queue_name="mail")
    next(broker.consume("mail", timeout=1))
    broker.storage.call("DEL", broker.storage.keys.leases)
    (worker,) = look(broker)
    assert (worker.holds, worker.beats, worker.alive) == (1, None, False)


def test_neither_sending_nor_looking_makes_a_worker(broker: RedisBroker) -> None:
    client.send_with_options("x", queue_name="mail")
    assert look(broker) == look(broker) == []


def test_a_look_asks_the_server_a_fixed_number_of_times(broker: RedisBroker, faults: Faults) -> None:
    def exchanges() -> int:
        before = len(faults.exchanges)
        look(broker)
        return len(faults.exchanges) - before

    client.send_with_options("x", queue_name="q0")
    few = exchanges()
    for at in range(20):
        client.send_with_options("x", queue_name=f"q{at}")
    assert exchanges() == few
    assert "KEYS" not in faults.exchanges


def test_attempts_are_counted_through_retries(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
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
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
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


def test_a_failure_is_described_with_its_exception_by_name(broker: RedisBroker, drain: Drain) -> None:
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
