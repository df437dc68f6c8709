"""A server whose memory is used up refuses what is new, and workers drain what it has accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters
from tests.understudy.brokers.servers import real_server
from understudy import Idempotency, Retry, actor, each, handle, progress
from understudy.brokers import delays, staging
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerFull, ServerUnavailable
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.stage import stage
from understudy.testing.worker import StepWorker

A_LEASE = 10


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this module's own: how much memory it may use is no test's affair alone."""
    with real_server(Path(tmp_path_factory.mktemp("full"))) as server:
        yield server.url


@pytest.fixture
def broker(url: str, freezer: FrozenDateTimeFactory, faults: Faults, enqueued: Enqueued) -> Iterator[RedisBroker]:
    with stage("server", server_url=url, faults=faults, enqueued=enqueued) as staged:
        yield staged
        limit(staged, 0)


class Full:
    """Fills the server, as far as it can see."""

    def __init__(self, broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
        self.broker, self.freezer = broker, freezer

    def __call__(self) -> None:
        limit(self.broker, 1_000_000)

    def tick(self, seconds: float) -> None:
        """Time passes. The testing kit tells the server so by a write of its own."""
        limit(self.broker, 0)
        self.freezer.tick(seconds)
        handle("nobody").exists()
        self()


@pytest.fixture
def full(broker: RedisBroker, freezer: FrozenDateTimeFactory, step_worker: StepWorker) -> Full:
    """A worker is there already."""
    broker.declare_queue("default")
    step_worker.drain()
    return Full(broker, freezer)


def limit(broker: RedisBroker, size: int) -> None:
    broker.storage.client.config_set("maxmemory-policy", "noeviction")
    broker.storage.client.config_set("maxmemory", size)
    if size:
        used: Any = broker.storage.client.info("memory")
        assert used["used_memory"] > size


def test_what_is_new_is_refused_with_an_error_that_says_why(broker: RedisBroker, full: Full) -> None:
    @actor
    def body() -> None: ...

    full()
    for delay in (None, 1_000):
        with pytest.raises(ServerFull, match=r"full .*maxmemory"):
            broker.enqueue(body.message(), delay=delay)
    assert broker.size("default") == 0
    limit(broker, 0)
    body.send()
    assert broker.size("default") == 1


def test_workers_drain_a_full_server(broker: RedisBroker, full: Full, drain: Callable[..., int]) -> None:
    ran: list[str] = []

    @actor(retry=Retry(1, backoff=60, jitter="none"), idempotency=Idempotency())
    def again(x: int) -> int:
        ran.append(f"again {x}")
        if len(ran) == 1:
            raise ValueError
        return x

    @actor
    def items(x: int) -> int:
        for item in each(["a", "b"], key=str):
            progress.update(1, 2)
            ran.append(item)
        return x

    @actor
    def step(x: int) -> int:
        return x + 1

    @actor
    def fails() -> None:
        raise KeyError

    sent = [again.send(1), items.send(1), step.send_with_options(args=(0,), delay=1_000)]
    chain = step.message(-1) | step.message()
    chain.run()  # type: ignore[no-untyped-call]
    fails.send()
    full()
    drain()
    assert handle(sent[0]).status == "RETRY"
    full.tick(60)
    drain()
    assert [handle(message).get() for message in sent] == [1, 1, 1]
    assert handle(chain.messages[-1]).get() == 1
    assert ran == ["again 1", "a", "b", "again 1"]
    assert len(dead_letters(broker)) == 1
    assert broker.size("default") == 0


def test_what_a_dead_worker_held_comes_back_on_a_full_server(
    broker: RedisBroker, full: Full, step_worker: StepWorker, faults: Faults
) -> None:
    @actor
    def body(x: int) -> int:
        return x

    message = body.send(1)
    faults.kill_at("settle")
    step_worker.run_once()
    step_worker.run_once()  # another worker is there
    full.tick(A_LEASE)
    step_worker.drain()
    assert handle(message).get() == 1


def test_what_helps_to_make_room_is_taken_all_the_same(broker: RedisBroker, full: Full) -> None:
    full()
    keys, call = broker.storage.keys, broker.storage.call
    for _ in range(2):
        assert call("HSETNX", keys.leases, "new", 1, insist=True) in (0, 1)
    assert call("SADD", keys.queues, "new", insist=True) == 1
    call("XGROUP", "CREATE", f"{keys.namespace}:stream", "group", "0", "MKSTREAM", insist=True)
    with pytest.raises(ServerUnavailable, match="BUSYGROUP"):
        call("XGROUP", "CREATE", f"{keys.namespace}:stream", "group", "0", "MKSTREAM", insist=True)
    with pytest.raises(ServerFull):
        call("SADD", keys.queues, "another")


def test_a_worker_that_comes_to_a_full_server_drains_it(
    broker: RedisBroker, full: Full, step_worker: StepWorker
) -> None:
    @actor(queue_name="new")
    def body(x: int) -> int:
        return x

    messages = [body.send(x) for x in range(30)]
    broker.abandon()
    worker = StepWorker(broker, step_worker.faults)
    full()
    assert worker.drain() == 30
    assert [handle(message).get() for message in messages] == list(range(30))


def test_an_idle_worker_of_a_full_server_says_so(
    broker: RedisBroker, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "has_idle_threads", lambda: True)
    full()
    assert next(broker.consume("default", prefetch=1, timeout=1)) is None
    assert broker.storage.call("GET", broker.storage.keys.hungry("default")) == broker.worker_id.encode()


def test_a_lease_is_renewed_on_a_full_server(broker: RedisBroker, full: Full) -> None:
    broker.enroll()
    full()
    leases = broker.storage.keys.leases
    count = int(broker.storage.call("HGET", leases, broker.worker_id))
    assert broker.storage.run("beat", [leases], [broker.worker_id]) == count + 1


def test_a_delayed_message_is_cancelled_on_a_full_server(broker: RedisBroker, full: Full) -> None:
    @actor
    def body() -> None: ...

    message = body.send_with_options(delay=60_000)
    full()
    assert delays.cancel(broker, "default", message.message_id) == 1
    assert handle(message).status == "REVOKED"


def test_a_large_outcome_waits_for_room_and_one_that_is_published_is_moved(
    broker: RedisBroker, full: Full, drain: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PAGE", 10)
    waited: list[float] = []

    @actor
    def letter(x: int) -> None: ...

    @actor
    def fan_out() -> None:
        for x in range(25):
            letter.send_with_options(args=(x,), when="committed")

    def room(seconds: float) -> None:
        waited.append(seconds)
        limit(broker, 0)

    broker.pause = room
    fan_out.send()
    full()
    assert drain(limit=100) == 26
    assert len(waited) == 1
    pages = staging.Letter("default", "letter", "m", 2, None, letter.message(1).encode())
    keys = broker.storage.keys
    broker.storage.call("RPUSH", keys.published("o"), staging._ENCODE.encode(pages))
    broker.storage.call("SADD", keys.outbox, "o")
    full()
    assert drain() == 1
