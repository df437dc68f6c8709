"""A fault at every exchange of a message's way, in every position: it ends once, and no attempt is burned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
from freezegun.api import FrozenDateTimeFactory

from tests.depth import depth, on_the_server_first
from tests.understudy.brokers.helpers import dead_letters
from understudy import Idempotency, Retry, actor, each, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

#: Longer than the lease of a dead worker.
A_LEASE = 10
#: So many of the exchanges of a name have their fault in turn.
POSITIONS = depth(2, 4)

#: What the reaper looks with, what it does, and the way of a message to its end.
LOOKS = ["HGETALL", "SMEMBERS", "consumers"]
EXCHANGES = [*LOOKS, "reap", "bury", "fetch", "claim", "started", "item", "progress", "settle", "promote"]

HOW: dict[str, Callable[[Faults, str, int], None]] = {
    "killed before": lambda faults, name, nth: faults.kill_at(name, nth=nth),
    "killed after": lambda faults, name, nth: faults.kill_at(name, nth=nth, when="after"),
    "cut before": lambda faults, name, nth: faults.fail(name, nth=nth),
    "cut after": lambda faults, name, nth: faults.fail(name, nth=nth, when="after"),
    "error": lambda faults, name, nth: faults.fail(name, nth=nth, error=redis.ResponseError("LOADING the dataset")),
}


class Job:
    """A message whose worker dies, whose body fails once, and that has items and tells its progress."""

    def __init__(self, broker: RedisBroker, worker: StepWorker, faults: Faults, freezer: FrozenDateTimeFactory) -> None:
        self.broker, self.worker, self.faults, self.freezer = broker, worker, faults, freezer
        self.did: Counter[tuple[int, str]] = Counter()
        self.attempts: Counter[int] = Counter()
        self.failed: set[int] = set()

        @actor(retry=Retry(1, backoff=5, jitter="none"), idempotency=Idempotency())
        def job(x: int) -> int:
            self.attempts[x] += 1
            for number, item in enumerate(each(["a", "b", "c"], key=str)):
                if item == "b" and self.attempts[x] == 1:
                    self.faults.kill_worker()
                if item == "c" and x not in self.failed:
                    self.failed.add(x)
                    raise ValueError(x)
                progress.update(number + 1, 3)  # if this fails the item has not been done
                self.did[x, item] += 1
            return x

        self.actor = job

    def run(self, x: int, plan: Callable[[], None]) -> Any:
        """Run message ``x`` to its end, through a death, a failure, and the fault that is planned after the death."""
        message = self.actor.send(x)
        self.worker.run_once()
        assert self.attempts[x] == 1
        plan()
        for _ in range(8):
            self.worker.drain()
            self.freezer.tick(A_LEASE)
        return handle(message)


@pytest.fixture
def job(broker: RedisBroker, step_worker: StepWorker, faults: Faults, freezer: FrozenDateTimeFactory) -> Job:
    return Job(broker, step_worker, faults, freezer)


def test_without_a_fault_all_exchanges_take_place(job: Job, faults: Faults) -> None:
    found = job.run(1, faults.exchanges.clear)
    assert found.get() == 1
    assert set(EXCHANGES) <= set(faults.exchanges)


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_fault_at_any_exchange_leaves_one_outcome(
    job: Job, broker: RedisBroker, faults: Faults, exchange: str, how: str
) -> None:
    happened = 0
    for nth in range(1, POSITIONS + 1):
        found = job.run(nth, lambda nth=nth: HOW[how](faults, exchange, nth))  # type: ignore[misc]
        happened += not faults.planned
        faults.clear()
        assert found.get() == nth
        if (exchange, how) != ("settle", "killed before"):  # that may be the failure itself, which nobody heard of then
            assert found.retries == 1, "neither a death nor an outage burns an attempt"
        assert found.progress == {"current": 3, "total": 3}
        did = [job.did[nth, item] for item in "abc"]
        # An item is worked on again only if the worker died before its end was on the server.
        assert sorted(did) in ([1, 1, 1], [1, 1, 2]) if "killed" in how else did == [1, 1, 1]
        assert broker.size("default") == 0
        assert dead_letters(broker) == []
        assert broker.refused == 0
    assert happened, "the fault never hit"
    leases: Any = broker.storage.call("HGETALL", broker.storage.keys.leases)
    assert len(leases) == (1 if isinstance(leases, dict) else 2), "the dead are buried"
