"""Failures that are too many, reasons that are kept, arguments that are wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.depth import on_the_server_first
from tests.understudy.loops import MODES, finish, loop
from understudy import Retry, actor, handle
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DeclarationError, TooManyFailures
from understudy.items import each
from understudy.looping import ENOUGH_TO_JUDGE, LONGEST_REASON
from understudy.testing.faults import Faults

Drain = Callable[..., int]
ITEMS = list(range(7))
every_mode = pytest.mark.parametrize("mode", MODES)


def failing(count: int, **options: Any) -> Any:
    """An actor of which the first ``count`` of 1,000 items fail."""

    @actor(actor_name=f"failing-{uuid.uuid4().hex}", retry=Retry(3, backoff=1))
    def body(known: bool = True) -> list[int]:
        source = range(1_000) if known else iter(range(1_000))
        items = each(source, key=str, batch=50, **options)
        for item in items:
            if item < count:
                items.fail(f"no. {item}")
        return [items.successful, items.failed, len(items.failures)]

    return body


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize(("limit", "known"), [(20, True), (0.02, True), (20, False)])
def test_as_many_may_fail_as_is_said_and_with_one_more_the_body_is_stopped(
    broker: SettlingBroker, drain: Drain, limit: float, known: bool
) -> None:
    enough, too_many = failing(20, max_failures=limit), failing(300, max_failures=limit)
    message, stopped = enough.send(known), too_many.send(known)
    drain()
    assert handle(message).get() == [980, 20, 20]
    with pytest.raises(TooManyFailures) as caught:
        handle(stopped).get()
    error = caught.value
    assert (error.failed, error.done, error.in_doubt) == (21, 0, 0)
    assert error.first == {str(n): f"no. {n}" for n in range(5)}
    assert "21 items failed, 0 are done" in str(error)
    assert "no. 0; no. 1" in str(error)
    assert (handle(stopped).status, handle(stopped).retries) == ("FAILURE", 0)


def test_a_part_of_an_unknown_total_is_judged_from_the_hundredth_item_on(broker: SettlingBroker, drain: Drain) -> None:
    message, stopped = failing(30, max_failures=0.3).send(False), failing(31, max_failures=0.3).send(False)
    drain()
    assert handle(message).get() == [970, 30, 30]
    with pytest.raises(TooManyFailures):
        handle(stopped).get()
    assert ENOUGH_TO_JUDGE == 100


def test_a_part_of_few_items_is_judged_at_the_end(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[int] = []

    @actor
    def body() -> None:
        items = each(iter(range(10)), key=str, max_failures=0.1)
        for item in items:
            seen.append(item)
            if item in (0, 1):
                items.fail("no")

    message = body.send()
    drain()
    assert len(seen) == 10
    with pytest.raises(TooManyFailures, match="2 items failed, 8 are done"):
        handle(message).get()


def test_those_in_doubt_that_were_skipped_count_as_failed(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    @actor
    def body() -> None:
        for _ in each(ITEMS, key=str, on_doubt="skip", max_failures=0):
            pass

    message = body.send()
    faults.kill_at("item", nth=3)
    finish(drain, freezer, 3)
    with pytest.raises(TooManyFailures, match="1 were in doubt") as caught:
        handle(message).get()
    assert (caught.value.failed, caught.value.in_doubt) == (1, 1)


@every_mode
def test_reasons_are_kept_up_to_a_bound_and_counts_are_exact(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, mode: str
) -> None:
    attempts: list[int] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> list[Any]:
        items = loop(mode, range(100), batch=10, reasons=7)
        for item in items:
            if item == 60 and not attempts:
                attempts.append(1)
                raise ValueError
            if item % 2:
                items.fail("x" * 5_000)
        return [items.successful, items.failed, sorted(map(int, items.failures)), len(items.failures["1"])]

    message = body.send()
    finish(drain, freezer, 2)
    assert handle(message).get() == [50, 50, [1, 3, 5, 7, 9, 11, 13], LONGEST_REASON]


def test_two_thousand_failures_leave_a_thousand_reasons(broker: SettlingBroker, drain: Drain) -> None:
    message = failing(1_000).send()
    drain()
    assert handle(message).get() == [0, 1_000, 1_000]
    message = failing(1_000, reasons=0).send()
    drain()
    assert handle(message).get() == [0, 1_000, 0]


@every_mode
@pytest.mark.parametrize(("options", "most"), [({}, 500), ({"window": 3}, 3), ({"window": 3, "batch": 2}, 2)])
def test_no_more_items_are_drawn_at_once_than_a_window_has(
    broker: SettlingBroker, drain: Drain, mode: str, options: dict[str, int], most: int
) -> None:
    ahead: list[int] = []

    @actor
    def body() -> int:
        drawn = given = 0

        def source() -> Iterator[int]:
            nonlocal drawn
            for number in range(1_200):
                drawn += 1
                yield number

        for _ in loop(mode, source(), **options):
            given += 1
            ahead.append(drawn - given)
        return given

    message = body.send()
    drain()
    assert handle(message).get() == 1_200
    assert max(ahead) == most - 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"window": 501},
        {"window": 1.5},
        {"batch": 0},
        {"batch": 1_001},
        {"batch": 1.5},
        {"max_failures": -1},
        {"max_failures": 1.0},
        {"max_failures": 0.0},
        {"max_failures": True},
        {"max_failures": "3"},
        {"reasons": -1},
        {"position": str},
        {"cursor": lambda after: ITEMS},
        {"on_doubt": "perhaps"},
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=next(iter(wrong))):
        each(ITEMS, key=str, **wrong)


def test_items_or_a_cursor_are_needed() -> None:
    with pytest.raises(DeclarationError, match="either items or cursor"):
        each(key=str)  # type: ignore[call-overload]
    with pytest.raises(DeclarationError, match="ordered"):
        each(cursor=lambda after: ITEMS, key=str, ordered=True)  # type: ignore[call-overload]


@every_mode
def test_outside_of_a_worker_it_is_the_same_loop(mode: str) -> None:
    items = loop(mode, ITEMS, batch=3, max_failures=1)
    seen = []
    for item in items:
        seen.append(item)
        if item == 2:
            items.fail("no")
    assert seen == ITEMS
    assert (items.successful, items.failed, items.in_doubt, items.failures) == (6, 1, 0, {"2": "no"})


def test_outside_of_a_worker_too_many_failures_stop_the_loop_too() -> None:
    items = each(ITEMS, key=str, max_failures=0)
    rest = iter(items)
    next(rest)
    items.fail("no")
    with pytest.raises(TooManyFailures):
        next(rest)
