"""Batches, deaths and stops, in all the ways in which items are remembered."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.depth import depth, on_the_server_first
from tests.understudy import actors_with_items as them
from tests.understudy.loops import MODES, finish, loop
from understudy import Retry, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import LeaseLost, Revoked
from understudy.execution import current
from understudy.handle import Handle
from understudy.holds import MAX_DEATHS
from understudy.items import IN_DOUBT, each
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]
ITEMS = list(range(7))
every_mode = pytest.mark.parametrize("mode", MODES)

KINDS = ["before", "after", "kill before", "kill after"]
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["item", "progress", "settle", "HMGET", "fetch"]), st.integers(1, 6), st.sampled_from(KINDS)
    ),
    max_size=4,
).filter(lambda planned: sum(kind.startswith("kill") for _, _, kind in planned) < MAX_DEATHS)


class Campaign:
    """An actor over ``ITEMS``, and what it did."""

    def __init__(self, mode: str, on_doubt: str, batch: int, raising: Collection[int] = ()) -> None:
        self.done: list[int] = []
        self._raised: set[int] = set()

        @actor(actor_name=f"body-{uuid.uuid4().hex}", retry=Retry(None, backoff=1, maximum=1))
        def body() -> dict[str, Any]:
            items = loop(mode, ITEMS, on_doubt=on_doubt, batch=batch)
            for item in items:
                if item in raising and item not in self._raised:
                    self._raised.add(item)
                    raise ValueError
                self.done.append(item)
            return {"successful": items.successful, "failures": items.failures, "in_doubt": items.in_doubt}

        self.actor = body

    def check(self, found: Handle, *, on_doubt: str, deaths: int, batch: int) -> None:
        """Every item is done or reported, none is done twice but those in doubt, and these are counted."""
        result = found.get()
        failures, in_doubt = result["failures"], result["in_doubt"]
        assert set(self.done) | {int(key) for key in failures} == set(ITEMS)
        assert all(reason == IN_DOUBT for reason in failures.values())
        assert result["successful"] == len(ITEMS) - len(failures)
        assert in_doubt <= deaths * batch
        repeated = [item for item, times in Counter(self.done).items() if times > 1]
        if on_doubt == "skip":
            assert repeated == [], "an item was done twice"
            assert in_doubt == len(failures), "what is in doubt is reported, and counted"
        else:
            assert failures == {}
            assert len(repeated) <= in_doubt, "an item was repeated that was not in doubt"
            assert len(self.done) - len(set(self.done)) <= deaths * batch


def left(broker: SettlingBroker, scope: str) -> list[str]:
    """The marks that lie on the server."""
    raw: Any = broker.storage.client.hgetall(broker.storage.keys.items(scope))
    return [mark.decode() for mark in raw.values()]


@every_mode
@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_killed_at_any_exchange_of_a_batch_up_to_a_batch_is_in_doubt(
    broker: SettlingBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    mode: str,
    on_doubt: str,
    when: Any,
    nth: int,
) -> None:
    campaign = Campaign(mode, on_doubt, batch=3)
    message = campaign.actor.send()
    faults.kill_at("item", nth=nth, when=when)
    finish(drain, freezer, times=3)
    assert faults.planned == 0
    campaign.check(handle(message), on_doubt=on_doubt, deaths=1, batch=3)
    # Three exchanges open 3, 3 and 1; killed before the nth, the batch before it is in doubt, and after it the nth.
    opened = [0, 3, 3, 1, 0]
    assert handle(message).get()["in_doubt"] == opened[nth if when == "after" else nth - 1]


@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
@pytest.mark.parametrize(("mode", "batch"), [("keys", 3), ("order", 1), ("order", 3), ("cursor", 1), ("cursor", 2)])
@pytest.mark.deep
@settings(max_examples=depth(4, 15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(planned=FAULTS, raising=st.sets(st.integers(0, 6), max_size=2))
def test_whatever_happens_no_item_is_forgotten_or_done_twice(
    broker: RedisBroker,
    step_worker: StepWorker,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    mode: str,
    batch: int,
    on_doubt: str,
    planned: list[tuple[str, int, str]],
    raising: set[int],
) -> None:
    campaign = Campaign(mode, on_doubt, batch, raising)
    message = campaign.actor.send()
    for name, nth, kind in planned:
        if kind.startswith("kill"):
            faults.kill_at(name, nth=nth, when=kind.removeprefix("kill "))  # type: ignore[arg-type]
        else:
            faults.fail(name, nth=nth, when=kind)  # type: ignore[arg-type]
    finish(step_worker.drain, freezer, times=14)
    faults.clear()
    finish(step_worker.drain, freezer, times=2)
    deaths = sum(kind.startswith("kill") for _, _, kind in planned)
    campaign.check(handle(message), on_doubt=on_doubt, deaths=deaths, batch=batch)


# -- batches ---------------------------------------------------------------------------------------------------


@pytest.mark.deep
@on_the_server_first
@every_mode
def test_a_batch_shares_its_round_trips(broker: SettlingBroker, drain: Drain, faults: Faults, mode: str) -> None:
    @actor
    def body() -> int:
        return sum(1 for _ in loop(mode, range(1_200), batch=100))

    message = body.send()
    drain()
    assert handle(message).get() == 1_200
    assert faults.exchanges.count("item") == 12 + 1
    assert faults.exchanges.count("HMGET") <= 4


@every_mode
def test_a_body_that_raises_in_a_batch_leaves_nothing_in_doubt(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, mode: str
) -> None:
    seen: list[int] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> list[int]:
        items = loop(mode, ITEMS, batch=5, on_doubt="skip")
        for item in items:
            seen.append(item)
            if item == 3 and seen.count(3) == 1:
                raise ValueError
        return [items.successful, items.in_doubt]

    message = body.send()
    finish(drain, freezer, 2)
    assert seen == [0, 1, 2, 3, 3, 4, 5, 6]
    assert handle(message).get() == [7, 0]


@every_mode
def test_the_sign_to_stop_is_seen_within_a_batch(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, mode: str
) -> None:
    seen: list[int] = []

    @actor
    def body() -> list[int]:
        items = loop(mode, ITEMS, batch=5, on_doubt="skip")
        for item in items:
            seen.append(item)
            if item == 2:
                broker.stopping.set()
        return [items.successful, items.in_doubt]

    message = body.send()
    StepWorker(broker, faults).run_once()
    assert (seen, handle(message).ready(), handle(message).retries) == ([0, 1, 2], False, 0)
    broker.stopping.clear()
    drain()
    assert seen == ITEMS
    assert handle(message).get() == [7, 0]
    assert handle(message).retries == 0


@every_mode
def test_a_revoked_body_stops_at_the_next_item_of_a_batch(broker: SettlingBroker, drain: Drain, mode: str) -> None:
    seen: list[int] = []
    marks: list[str] = []

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        try:
            for item in loop(mode, ITEMS, batch=5):
                seen.append(item)
                if item == 2:
                    execution.terminate("terminated")
        finally:
            marks.extend(left(broker, message.message_id))

    message = body.send()
    drain()
    with pytest.raises(Revoked):
        handle(message).get()
    assert seen == [0, 1, 2]
    assert not any(mark.startswith("?") for mark in marks)


def test_a_zombie_that_learns_so_within_a_batch_stops_there(broker: SettlingBroker, step_worker: StepWorker) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 3_600.0})  # that would tell it, too
    seen: list[int] = []
    told: list[LeaseLost] = []

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        try:
            for item in each(ITEMS, key=str, batch=5):
                seen.append(item)
                execution.lost = item == 2  # as the heartbeat finds out
        except LeaseLost as error:
            told.append(error)
            raise

    body.send()
    step_worker.run_once()
    assert (seen, len(told)) == ([0, 1, 2], 1)


@every_mode
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_an_outage_between_two_batches_leaves_nothing_in_doubt(
    broker: SettlingBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    mode: str,
    when: Any,
    nth: int,
) -> None:
    campaign = Campaign(mode, "skip", batch=3)
    message = campaign.actor.send()
    faults.fail("item", nth=nth, when=when)
    finish(drain, freezer, times=2)
    assert faults.planned == 0
    assert campaign.done == ITEMS
    campaign.check(handle(message), on_doubt="skip", deaths=0, batch=3)


@every_mode
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_outage_as_those_in_doubt_are_opened_does_not_lose_count_of_them(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, mode: str, when: Any
) -> None:
    campaign = Campaign(mode, "repeat", batch=3)
    message = campaign.actor.send()
    faults.kill_at("item", nth=2)
    faults.fail("item", nth=3, when=when)
    finish(drain, freezer, times=3)
    assert handle(message).get()["in_doubt"] == 3
    assert campaign.done == [0, 1, 2, *ITEMS]


@every_mode
def test_failed_and_deferred_items_of_a_batch(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, mode: str
) -> None:
    seen: list[int] = []

    @actor(retry=Retry(2, backoff=1))
    def body() -> list[Any]:
        items = loop(mode, ITEMS, batch=3)
        for item in items:
            seen.append(item)
            if item == 1:
                items.fail("bad address")
            if item == 2 and seen.count(2) < 3:
                items.defer()
        if items.deferred:
            raise ValueError("not all")
        return [items.successful, items.failed, items.failures]

    message = body.send()
    finish(drain, freezer, 3)
    assert seen == [*ITEMS, 2, 2]
    assert handle(message).get() == [6, 1, {"1": "bad address"}]


def test_who_changes_its_mind_about_an_item_is_heard(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> list[Any]:
        items = each([0, 1], key=str)
        for item in items:
            if item == 0:
                items.defer()
                items.fail("no")
            else:
                items.fail("no")
                items.defer()
        return [items.failures, items.failed, items.deferred]

    message = body.send()
    drain()
    assert handle(message).get() == [{"0": "no"}, 1, 1]


@pytest.mark.parametrize("batch", [1, 4])
def test_duplicates_are_one_item_in_a_batch_of_any_size(broker: SettlingBroker, drain: Drain, batch: int) -> None:
    done: list[int] = []

    @actor
    def body() -> int:
        items = each([1, 1, 2, 1, 2, 3, 3, 4, 5, 1], key=str, batch=batch)
        done.extend(items)
        return items.successful

    message = body.send()
    drain()
    assert done == [1, 2, 3, 4, 5]
    assert handle(message).get() == 5


@pytest.mark.deep
@on_the_server_first
@every_mode
def test_a_body_in_a_process_of_its_own_that_is_killed_in_a_batch(drain: Drain, mode: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    message = them.dies_at_4.send(str(journal), mode)
    drain(isolation="process")
    done = [int(line) for line in journal.read_text().split()]
    result = handle(message).get()
    assert len(set(done)) == len(done)
    assert result == {"successful": 7, "in_doubt": 3, "failures": ["3", "4", "5"]}
    assert sorted(set(done) - {3, 4}) == [0, 1, 2, 6, 7, 8, 9]


@pytest.mark.deep
@on_the_server_first
@every_mode
def test_p11_a_body_in_a_process_of_its_own_stops_within_a_batch(
    broker: RedisBroker, step_worker: StepWorker, mode: str, tmp_path: Path
) -> None:
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})
    told = tmp_path / "told"

    def stop() -> None:
        wait_until(told.exists, timeout=20)
        broker.stopping.set()

    message = them.waits_at_2.send(str(told), mode)
    thread = threading.Thread(target=stop)
    thread.start()
    step_worker.run_once()
    thread.join()
    assert not any(mark.startswith("?") for mark in left(broker, message.message_id))
    broker.stopping.clear()
    step_worker.drain()
    assert handle(message).get() == [7, 0]
