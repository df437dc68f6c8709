"""What lies on the server of a loop: a mark per item, or a position that takes their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.depth import depth, on_the_server_first
from tests.understudy.loops import MODES, finish, loop
from understudy import Idempotency, Retry, actor, each, handle
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import ItemsChanged
from understudy.ledger import decoded
from understudy.remembering import DONE, FAILED, SEPARATOR, Store, settled
from understudy.testing.faults import Faults

Drain = Callable[..., int]
PLACES = ["order", "cursor"]


def marks(broker: SettlingBroker, scope: str) -> dict[str, str]:
    raw: Any = broker.storage.client.hgetall(broker.storage.keys.items(scope))
    return {name.decode(): mark.decode() for name, mark in raw.items()}


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("mode", PLACES)
@pytest.mark.parametrize("batch", [1, 50])
def test_a_position_takes_the_place_of_the_marks(broker: SettlingBroker, drain: Drain, mode: str, batch: int) -> None:
    most = [0]

    @actor
    def body() -> int:
        items = loop(mode, range(1_200), batch=batch)
        for item in items:
            if item % 7 == 0:
                most.append(len(marks(broker, message.message_id)))
        return items.successful

    message = body.send()
    drain()
    assert handle(message).get() == 1_200
    assert max(most) <= batch + 1
    (name, mark), *more = marks(broker, message.message_id).items()
    assert (name, more) == (SEPARATOR, [])
    assert len(mark) < 200
    ledger = decoded(mark)
    assert (ledger.done, ledger.position) == (1_200, 1_200)


def test_without_a_position_there_is_a_mark_for_each_distinct_item(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> None:
        list(each([3, 1, 3, 2], key=str))

    message = body.send()
    drain()
    found = marks(broker, message.message_id)
    assert decoded(found.pop(SEPARATOR)).done == 3
    assert found == {f"{SEPARATOR}{n}": DONE for n in (1, 2, 3)}


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["raise", "kill"])
def test_another_execution_asks_for_nothing_that_is_over(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, mode: str, how: str
) -> None:
    given: list[int] = []
    looked_up: list[int] = []
    count = depth(600, 2_000)
    most = count * 19 // 20

    @actor(retry=Retry(1, backoff=1))
    def body() -> int:
        faults.exchanges.clear()
        items = loop(mode, range(count), batch=count // 20)
        for item in items:
            if item == most and len(given) == most:
                given.append(-1)
                if how == "kill":
                    faults.kill_worker()
                raise ValueError
            given.append(item)
        looked_up.append(faults.exchanges.count("HMGET"))
        return items.successful

    message = body.send()
    finish(drain, freezer, 3)
    assert handle(message).get() == count
    assert given == [*range(most), -1, *range(most, count)]
    assert looked_up[-1] <= (5 if mode == "keys" else 3)


@pytest.mark.parametrize("mode", PLACES)
def test_a_cursor_is_not_walked_through_again_and_ordered_items_are(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, mode: str
) -> None:
    walked: list[int] = []
    asked: list[int | None] = []
    failed: list[int] = []

    def source(after: int | None = None) -> Iterator[int]:
        asked.append(after)
        for item in range(10) if after is None else range(after + 1, 10):
            walked.append(item)
            yield item

    @actor(retry=Retry(1, backoff=1))
    def body() -> int:
        options: dict[str, Any] = {"key": str}
        items = (
            each(cursor=source, position=int, **options)
            if mode == "cursor"
            else each(source(), ordered=True, **options)
        )
        for item in items:
            if item == 6 and not failed:
                failed.append(item)
                walked.clear()
                raise ValueError
        return items.successful

    message = body.send()
    finish(drain, freezer, 2)
    assert handle(message).get() == 10
    if mode == "cursor":
        assert (asked, walked) == ([None, 5], [6, 7, 8, 9])
    else:
        assert walked == list(range(10))


@pytest.mark.parametrize("mode", PLACES)
def test_an_item_that_was_put_off_holds_the_position_until_it_is_done(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, mode: str
) -> None:
    positions: list[int] = []
    seen: list[int] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> int:
        items = loop(mode, range(6))
        for item in items:
            seen.append(item)
            if item == 2 and seen.count(2) == 1:
                items.defer()
        if items.deferred:
            found = marks(broker, message.message_id)
            positions.append(decoded(found.pop(SEPARATOR)).position)
            assert found == {f"{SEPARATOR}{n}": DONE for n in (3, 4, 5)}
            raise ValueError
        return items.successful

    message = body.send()
    finish(drain, freezer, 2)
    assert handle(message).get() == 6
    assert seen == [0, 1, 2, 3, 4, 5, 2]
    assert positions == [2]
    assert decoded(marks(broker, message.message_id)[SEPARATOR]).position == 6


@pytest.mark.parametrize("mode", PLACES)
def test_reasons_of_failures_outlive_the_position(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, mode: str
) -> None:
    attempts: list[int] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> list[Any]:
        items = loop(mode, range(6))
        for item in items:
            if item == 5 and not attempts:
                attempts.append(1)
                raise ValueError
            if item == 1:
                items.fail("no such user")
        return [items.failures, items.failed, items.successful]

    message = body.send()
    finish(drain, freezer, 2)
    assert handle(message).get() == [{"1": "no such user"}, 1, 5]


@pytest.mark.parametrize("mode", PLACES)
def test_a_loop_that_is_left_is_at_the_item_behind_when_the_message_succeeds(
    broker: SettlingBroker, drain: Drain, mode: str
) -> None:
    @actor
    def body() -> int:
        items = loop(mode, range(6), batch=4)
        for item in items:
            if item == 2:
                break
        return items.successful

    message = body.send()
    drain()
    assert handle(message).get() == 2
    found = marks(broker, message.message_id)
    assert decoded(found.pop(SEPARATOR)).position == 3
    assert found == {}, "what was opened and not begun is taken back"


@pytest.mark.parametrize("changed", [[0, 1, 2, 4, 3, 5], [1, 2, 3], [0, 1], [9, 0, 1, 2, 3, 4, 5]])
def test_ordered_items_that_come_otherwise_are_refused_and_none_is_repeated(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, changed: list[int]
) -> None:
    seen: list[int] = []
    sources = [list(range(6)), changed]

    @actor(retry=Retry(3, backoff=1))
    def body() -> None:
        for item in each(sources.pop(0), key=str, ordered=True):
            seen.append(item)
            if item == 4:
                raise ValueError

    message = body.send()
    finish(drain, freezer, 3)
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(ItemsChanged, match="nothing was repeated"):
        handle(message).get()


def test_ordered_items_that_differ_behind_what_is_over_are_welcome(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[int] = []
    sources = [[0, 1, 2, 3], [0, 1, 7, 8]]

    @actor(retry=Retry(1, backoff=1))
    def body() -> None:
        for item in each(sources.pop(0), key=str, ordered=True):
            if item == 2:
                raise ValueError
            seen.append(item)

    message = body.send()
    finish(drain, freezer, 2)
    assert seen == [0, 1, 7, 8]
    assert handle(message).status == "SUCCESS"


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", MODES)
def test_a_loop_that_is_remembered_otherwise_goes_on_where_that_can_be_known(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, first: str, second: str
) -> None:
    """A deploy changes the actor between two executions."""
    seen: list[int] = []
    modes = [first, second]

    @actor(retry=Retry(1, backoff=1))
    def body() -> None:
        for item in loop(modes.pop(0), range(5)):
            if item == 3 and modes:
                raise ValueError
            seen.append(item)

    message = body.send()
    finish(drain, freezer, 2)
    if first in ("keys", second):
        assert seen == [0, 1, 2, 3, 4]
        assert handle(message).status == "SUCCESS"
    else:
        assert seen == [0, 1, 2]
        with pytest.raises(ItemsChanged, match=f"each\\({'ordered' if first == 'order' else 'cursor'}"):
            handle(message).get()


@pytest.mark.parametrize("mode", MODES)
def test_counts_belong_to_the_key_of_an_idempotent_message(broker: SettlingBroker, drain: Drain, mode: str) -> None:
    failing = [True]

    @actor(idempotency=Idempotency())
    def body() -> list[int]:
        items = loop(mode, range(5), batch=2)
        for item in items:
            if item == 3 and failing:
                raise ValueError
            if item == 1:
                items.fail("no")
        return [items.successful, items.failed]

    body.send_with_options(idempotency_key="k")
    drain()
    failing.clear()
    again = body.send_with_options(idempotency_key="k")
    drain()
    assert handle(again).get() == [4, 1]


def test_an_empty_loop_asks_for_nothing(broker: SettlingBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body() -> None:
        nothing: list[int] = []
        faults.exchanges.clear()
        list(each(nothing, key=str))
        assert faults.exchanges == []

    message = body.send()
    drain()
    assert handle(message).status == "SUCCESS"


def test_a_mark_that_settles_an_item() -> None:
    assert [settled(mark) for mark in (DONE, FAILED, f"{FAILED}why", "", "?token", "??token")] == [
        *(True, True, True),
        *(False, False, False),
    ]


def test_outside_of_a_worker_a_position_needs_no_memory() -> None:
    store = Store("order")
    for key in ("a", "b"):
        assert store.exchange([key]) == [("open", "")]
        store.begin(key, "")
        store.end()
    store.exchange(())
    assert store.lookup(["a", "b"]) == ["", ""]
    assert (store.ledger.done, store.ledger.position) == (2, 2)
