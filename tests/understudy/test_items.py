"""``each``: after whatever happened, every item is done, failed or reported, and none is done twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.depth import depth
from understudy import Idempotency, Retry, actor, each, handle
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DeclarationError
from understudy.holds import MAX_DEATHS
from understudy.items import IN_DOUBT, WINDOW
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]
LEASE = 10
ITEMS = list(range(7))


def finish(drain: Drain, freezer: FrozenDateTimeFactory, times: int = 6) -> None:
    for _ in range(times):
        drain()
        freezer.tick(LEASE)


def test_items_come_in_order_and_progress_is_reported(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[tuple[str, Any]] = []

    @actor
    def body() -> int:
        items = each(["a", "b", "c"], key=str)
        for item in items:
            seen.append((item, handle(message).progress))
        return items.successful

    message = body.send()
    drain()
    assert seen == [("a", None), ("b", {"current": 1, "total": 3}), ("c", {"current": 2, "total": 3})]
    assert handle(message).get() == 3
    assert handle(message).progress == {"current": 3, "total": 3}


@pytest.mark.parametrize("position", range(7))
@pytest.mark.parametrize("how", ["raise", "kill", "stop"])
@pytest.mark.parametrize("idempotency", [None, Idempotency()])
def test_the_next_execution_goes_on_where_it_stopped(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    position: int,
    how: str,
    idempotency: Idempotency | None,
) -> None:
    done: list[int] = []
    happened: list[int] = []

    @actor(retry=Retry(1, backoff=1), idempotency=idempotency)
    def body() -> int:
        items = each(ITEMS, key=str)
        for item in items:
            if item == position and not happened:
                happened.append(1)
                if how == "raise":
                    raise ValueError
                if how == "kill":
                    faults.kill_worker()
                broker.stopping.set()
            done.append(item)
        return items.successful

    message = body.send()
    if how == "stop" and position < 6:
        stopped_once(broker)
    finish(drain, freezer)
    assert done == ITEMS
    assert handle(message).get() == 7
    assert handle(message).retries == (1 if how == "raise" else 0)


def stopped_once(broker: RedisBroker) -> None:
    """The next worker is another process, which nobody has told to stop."""
    real = broker.commit

    def commit(held: Any, **kwargs: Any) -> None:
        broker.stopping.clear()
        real(held, **kwargs)

    broker.commit = commit  # type: ignore[method-assign]


KINDS = ["before", "after", "kill before", "kill after"]
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["item", "progress", "settle", "started", "claim", "HMGET", "enqueue", "fetch", "promote", "reap"]
        ),
        st.integers(1, 9),
        st.sampled_from(KINDS),
    ),
    max_size=4,
).filter(lambda planned: sum(kind.startswith("kill") for _, _, kind in planned) < MAX_DEATHS)


@pytest.mark.parametrize("idempotency", [None, Idempotency()], ids=["plain", "idempotent"])
@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
@pytest.mark.deep
@settings(max_examples=depth(8, 40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(  # a copy that was handed back was once taken for the retry that followed
    planned=[("item", 3, "after"), ("settle", 5, "kill before"), ("item", 2, "kill after"), ("claim", 4, "before")],
    raising={4, 6},
)
@given(planned=FAULTS, raising=st.sets(st.integers(0, 6), max_size=2))
def test_whatever_happens_no_item_is_forgotten_or_done_twice(
    broker: RedisBroker,
    step_worker: StepWorker,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    idempotency: Idempotency | None,
    on_doubt: Any,
    planned: list[tuple[str, int, str]],
    raising: set[int],
) -> None:
    begun: list[int] = []
    done: list[int] = []
    raised: set[int] = set()

    @actor(actor_name=f"body-{uuid.uuid4().hex}", retry=Retry(None, backoff=1, maximum=1), idempotency=idempotency)
    def body() -> list[Any]:
        items = each(ITEMS, key=str, on_doubt=on_doubt)
        for item in items:
            begun.append(item)
            if item in raising - raised:
                raised.add(item)
                raise ValueError
            done.append(item)
        return [items.successful, items.failures]

    message = body.send()
    for name, nth, kind in planned:
        if kind.startswith("kill"):
            faults.kill_at(name, nth=nth, when=kind.removeprefix("kill "))  # type: ignore[arg-type]
        else:
            faults.fail(name, nth=nth, when=kind)  # type: ignore[arg-type]
    finish(step_worker.drain, freezer, times=14)
    faults.clear()
    finish(step_worker.drain, freezer, times=2)
    successful, failures = handle(message).get()
    assert set(done) | {int(key) for key in failures} == set(ITEMS)
    assert all(reason == IN_DOUBT for reason in failures.values())
    assert successful == 7 - len(failures)
    if on_doubt == "skip":
        assert len(done) == len(set(done)), "an item was done twice"
    else:
        assert failures == {}
    killed = sum(kind.startswith("kill") for _, _, kind in planned)
    assert len(done) - len(set(done)) <= killed, "an item is repeated only where a process died"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", ["item", "progress", "HMGET"])
def test_an_outage_between_two_items_repeats_none(
    broker: SettlingBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    exchange: str,
    when: Any,
) -> None:
    done: list[int] = []

    @actor
    def body() -> int:
        items = each(ITEMS, key=str)
        for item in items:
            done.append(item)
        return items.successful

    message = body.send()
    faults.fail(exchange, nth=1 if exchange == "HMGET" else 4, when=when)
    finish(drain, freezer, 3)
    assert done == ITEMS
    assert handle(message).get() == 7
    assert handle(message).retries == 0


def test_duplicates_are_one_item(broker: SettlingBroker, drain: Drain) -> None:
    done: list[int] = []

    @actor
    def body() -> int:
        items = each([1, 1, 2, 1, 2, 3], key=str)
        done.extend(items)
        return items.successful

    message = body.send()
    drain()
    assert done == [1, 2, 3]
    assert handle(message).get() == 3


def test_failed_items_are_remembered_and_deferred_ones_come_again(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[int] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> list[Any]:
        items = each([0, 1, 2, 2, 3], key=str)
        for item in items:
            seen.append(item)
            if item == 1:
                items.fail("bad address")
            if item == 2 and seen.count(2) == 1:
                items.defer()
        if items.deferred:
            raise ValueError("not all")
        return [items.successful, items.failures]

    message = body.send()
    finish(drain, freezer, 2)
    assert seen == [0, 1, 2, 3, 2]
    assert handle(message).get() == [3, {"1": "bad address"}]


def test_fail_and_defer_belong_into_the_loop(broker: SettlingBroker, drain: Drain) -> None:
    nothing: list[int] = []
    for items in (each([1], key=str), each(nothing, key=str)):
        with pytest.raises(RuntimeError, match="inside the loop"):
            items.fail("x")
        with pytest.raises(RuntimeError, match="inside the loop"):
            items.defer()


def test_a_loop_that_is_left_counts_its_last_item_when_the_message_succeeds(
    broker: SettlingBroker, drain: Drain
) -> None:
    @actor
    def body() -> int:
        items = each(ITEMS, key=str)
        for item in items:
            if item == 3:
                break
        return items.successful

    message = body.send()
    drain()
    assert handle(message).get() == 3
    marks = broker.storage.client.hgetall(broker.storage.keys.items(message.message_id))
    assert sum(mark == b"1" for mark in marks.values()) == 4


def test_nothing_to_do(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> int:
        nothing: list[int] = []
        items = each(nothing, key=str)
        assert list(items) == []
        return items.successful

    message = body.send()
    drain()
    assert handle(message).get() == 0


def test_a_generator_longer_than_a_window(broker: SettlingBroker, drain: Drain) -> None:
    count = WINDOW + 3

    def source() -> Iterator[int]:
        yield from range(count)

    @actor
    def body() -> int:
        items = each(source(), key=str, total=count)
        return sum(1 for _ in items)

    message = body.send()
    drain()
    assert handle(message).get() == count
    assert handle(message).progress == {"current": count, "total": count}


@pytest.mark.parametrize("limit", ["actor", "message", "default"])
def test_a_loop_hands_the_rest_back_before_the_time_limit(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, limit: str
) -> None:
    done: list[int] = []
    options: dict[str, Any] = {"time_limit": 10_000} if limit == "message" else {}
    seconds = 600.0 if limit == "default" else 10.0
    broker.settings = broker.settings.model_copy(update={"default_time_limit": 600.0})

    @actor(time_limit=10.0 if limit == "actor" else None)
    def body() -> int:
        freezer.tick(seconds * 0.3)  # what came before the loop counts too
        items = each(ITEMS, key=str)
        for item in items:
            freezer.tick(seconds * 0.3)
            done.append(item)
        return items.successful

    message = body.send_with_options(**options)
    assert drain() == 4
    assert done == ITEMS
    assert handle(message).retries == 0
    assert handle(message).get() == 7


def test_an_execution_that_settles_nothing_is_not_handed_back_for_ever(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(time_limit=10.0)
    def body() -> int:
        items = each(ITEMS, key=str)
        for _ in items:
            freezer.tick(1.4)  # the seventh is given out after 84 % of the limit
            items.defer()
        return items.deferred

    message = body.send()
    assert drain() == 1
    assert handle(message).get() == 7


@dataclass
class Person:
    id: uuid.UUID


def test_keys_need_not_be_text() -> None:
    people = [Person(uuid.UUID(int=1)), Person(uuid.UUID(int=2)), Person(uuid.UUID(int=1))]
    assert len(list(each(people, key="id"))) == 2
    assert len(list(each([{"id": 1}, {"id": 2}, {"id": 1}], key="id"))) == 2


@pytest.mark.parametrize("bad", [{}, {"id": None}, {"id": ""}])
def test_an_item_without_a_key_is_named(bad: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="item 1 has no 'id'"):
        list(each([{"id": 1}, bad], key="id"))


def test_outside_of_a_worker_every_distinct_item_comes_once() -> None:
    items = each([1, 2, 1, 3], key=str)
    seen = []
    for item in items:
        seen.append(item)
        if item == 2:
            items.fail("no")
    assert seen == [1, 2, 3]
    assert items.successful == 2
    assert items.failures == {"2": "no"}


def test_two_loops_in_one_body_need_names(broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    seen: list[tuple[str, int]] = []
    failed: list[int] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> list[int]:
        first = each([1, 2], key=str, name="first")
        seen.extend(("first", item) for item in first)
        second = each([1, 2, 3], key=str, name="second")
        for item in second:
            if item == 2 and not failed:
                failed.append(1)
                raise ValueError
            seen.append(("second", item))
        return [first.successful, second.successful]

    @actor
    def wrong() -> None:
        list(each([1], key=str))
        list(each([1], key=str))

    message, refused = body.send(), wrong.send()
    finish(drain, freezer, 2)
    assert seen == [("first", 1), ("first", 2), ("second", 1), ("second", 2), ("second", 3)]
    assert handle(message).get() == [2, 3]
    with pytest.raises(DeclarationError, match="name"):
        handle(refused).get()


def test_a_zombie_stops_at_its_next_item(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    done: list[tuple[str, int]] = []
    seconds: list[int] = []

    @actor
    def body() -> str:
        who = "second" if seconds else "first"
        for item in each([0, 1, 2], key=str):
            if item == 1 and not seconds:
                seconds.append(1)
                broker.abandon()  # it is paused, and its lease runs out
                second = StepWorker(broker, faults)
                finish(second.drain, freezer, times=3)
            done.append((who, item))
        return who

    message = body.send()
    step_worker.drain()
    assert done == [("first", 0), ("second", 1), ("second", 2), ("first", 1)]
    assert handle(message).get() == "second"
    assert broker.refused == 1


def test_where_items_cannot_be_remembered_the_message_is_a_dead_letter_and_whoever_waits_is_told(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    done: list[int] = []

    @actor
    def body() -> None:
        for item in each(ITEMS, key=str):
            done.append(item)
            broker.storage.client.set(broker.storage.keys.items(message.message_id), "somebody else's")

    @actor
    def neighbour() -> int:
        return 1

    message, other = body.send(), neighbour.send()
    finish(drain, freezer, times=3)
    assert done == [0]
    assert handle(message).status == "FAILURE"
    assert broker.storage.client.zcard(broker.keys_of("default").dead) == 1
    assert handle(other).get() == 1
    assert broker.holds == {}


def test_items_of_a_failed_message_are_remembered_under_its_key(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    """A campaign that fails at 3 never mails the first 3 again, also when it is sent anew."""
    done: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> int:
        items = each(ITEMS, key=str)
        for item in items:
            if len(done) == 3 and not handle("marker").exists() and not resumed:
                raise ValueError
            done.append(item)
        return items.successful

    resumed: list[int] = []
    body.send_with_options(idempotency_key="k")
    drain()
    resumed.append(1)
    again = body.send_with_options(idempotency_key="k")
    drain()
    assert done == ITEMS
    assert handle(again).get() == 7
