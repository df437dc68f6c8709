"""The broker as a drop-in: Dramatiq's own parameters, worker, middleware, results and pipelines, one import changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import dramatiq
import dramatiq.broker
import pytest
import redis
from dramatiq import Worker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from understudy.brokers.redis import RedisBroker
from understudy.storage.client import in_memory


@pytest.fixture
def stock(server_url: str) -> Iterator[RedisBroker]:
    """A project that uses the broker and nothing else of Understudy: Dramatiq's default middleware and encoder."""
    before, encoder = dramatiq.broker.global_broker, dramatiq.get_encoder()
    dramatiq.set_encoder(dramatiq.JSONEncoder())
    broker = RedisBroker(url=server_url, namespace="drop-in", heartbeat_timeout=2_000, dead_message_ttl=60_000)
    results = redis.Redis.from_url(server_url)
    broker.add_middleware(Results(backend=RedisBackend(client=results)))  # type: ignore[no-untyped-call]
    dramatiq.set_broker(broker)
    worker = Worker(broker, worker_threads=4)
    worker.start()
    try:
        yield broker
    finally:
        worker.stop()
        broker.flush_all()
        broker.close()
        results.close()
        dramatiq.set_encoder(encoder)
        if before is not None:
            dramatiq.set_broker(before)


def test_results_retries_delays_and_pipelines_of_dramatiq_work(stock: RedisBroker) -> None:
    failures = [ValueError("once")]

    @dramatiq.actor(store_results=True, max_retries=3, min_backoff=50, max_backoff=100)
    def add(x: int, y: int) -> int:
        if failures:
            raise failures.pop()
        return x + y

    assert add.send(1, 2).get_result(block=True, timeout=4_000) == 3
    steps: Any = add.message(1, 2) | add.message_with_options(args=(3,))
    assert steps.run().get_result(block=True, timeout=4_000) == 6
    assert add.send_with_options(args=(5, 5), delay=200).get_result(block=True, timeout=4_000) == 10
    stock.join("default", timeout=10_000)


def test_what_failed_for_good_is_a_dead_letter(stock: RedisBroker) -> None:
    @dramatiq.actor(max_retries=0)
    def fail() -> None:
        raise ValueError("for good")

    fail.send()
    stock.join("default", timeout=10_000)
    keys = stock.keys_of("default")
    assert stock.storage.call("ZCARD", keys.dead) == 1


def test_its_keys_lie_under_the_namespace_that_was_given(stock: RedisBroker) -> None:
    @dramatiq.actor
    def work() -> None:
        """Nothing."""

    work.send()
    stock.join("default", timeout=10_000)
    assert list(stock.storage.client.scan_iter("drop-in:*"))


def test_an_in_memory_client_serves_a_worker_with_threads() -> None:
    before = dramatiq.broker.global_broker
    broker = RedisBroker(client=in_memory())
    dramatiq.set_broker(broker)
    ran = threading.Event()

    @dramatiq.actor
    def work() -> None:
        ran.set()

    worker = Worker(broker)
    worker.start()
    try:
        work.send()
        assert ran.wait(10)
        broker.join("default", timeout=10_000)
    finally:
        worker.stop()
        broker.close()
        if before is not None:
            dramatiq.set_broker(before)


def test_a_host_and_a_port_are_taken_as_dramatiq_takes_them() -> None:
    broker = RedisBroker(host="127.0.0.9", port=7777, db=3, password="s")
    kwargs = broker.storage.client.connection_pool.connection_kwargs
    assert (kwargs["host"], kwargs["port"], kwargs["db"], kwargs["password"]) == ("127.0.0.9", 7777, 3, "s")
    assert broker.reader is not None
    broker.close()


def test_a_parameter_that_nobody_knows_is_refused_when_access_is_given(server_url: str) -> None:
    given = RedisBroker(url=server_url)
    with pytest.raises(TypeError, match="hots"):
        RedisBroker(given.storage, given.settings, hots="x")
    given.close()
