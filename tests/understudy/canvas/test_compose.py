"""Workflows as values."""

from __future__ import annotations

from typing import Any

import pytest

from understudy import actor, chain, chord, group, step
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas.compose import Canvas, Policy, needed
from understudy.errors import DeclarationError

pytestmark = pytest.mark.brokers("stub")


@pytest.fixture
def a(broker: RedisBroker) -> Actor[..., Any]:
    @actor
    def a(*args: Any) -> Any:
        return args

    return a


def test_it_can_be_printed(a: Actor[..., Any]) -> None:
    m = a.message()
    assert str(chain(m, group(m, m), chord([m], m)) | m) == "chain(chain(a, group(a, a), chord([a], a)), a)"
    assert str(group([m] * 1_000)) == "group(a, a, a, ... 997 more)"


def test_parts_are_named_one_by_one_or_in_one_iterable(a: Actor[..., Any]) -> None:
    m = a.message()
    assert group(m, m) == group([m, m]) == group(m for _ in range(2))
    assert chord(group(m), body=m) == chord([m], m)


@pytest.mark.parametrize("part", [7, "a", None, [7]])
def test_what_is_no_part_is_refused(a: Actor[..., Any], part: Any) -> None:
    call: Any = chain
    with pytest.raises(TypeError, match=r"a part of a workflow is a message|not str"):
        chain(a.message(), part)
    with pytest.raises(TypeError, match="a step is a message"):
        step(part)
    with pytest.raises(TypeError, match=r"on_failure takes messages|not iterable"):
        call(a.message(), on_failure=7 if part is None else part)


def test_what_dramatiq_would_make_of_a_message_and_a_canvas_is_refused(a: Actor[..., Any]) -> None:
    m: Any = a.message()
    assert (chain(m) | m) == chain(chain(m), m)
    for canvas in (chain(m), group(m), chord([m], m), step(m)):
        for left in (m, m | m):
            with pytest.raises(DeclarationError, match=r"write chain\(message, canvas\)"):
                left | canvas


def test_a_canvas_that_says_nothing_of_its_elements_cannot_be_made() -> None:
    base: Any = Canvas
    with pytest.raises(TypeError, match="abstract"):
        base()


def test_a_callback_is_a_message_and_no_actor(a: Actor[..., Any]) -> None:
    given: Any = a
    with pytest.raises(TypeError, match=r"on_success takes messages, as actor\.message.* not Actor"):
        chain(a.message(), on_success=given)


def test_a_result_is_passed_as_an_argument_that_there_is(broker: RedisBroker) -> None:
    @actor
    def sized(value: int, *, size: int = 0) -> None: ...

    @actor
    def anything(**values: Any) -> None: ...

    first = sized.message(1)
    chain(first, step(sized.message(2), into="size"), step(anything.message(), into="whatever")).run()
    with pytest.raises(DeclarationError, match=r"sized has no argument 'siez' for into=; did you mean 'size'\?"):
        chain(first, step(sized.message(2), into="siez")).run()


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(DeclarationError, match="at least one step"):
        chain()


@pytest.mark.parametrize(
    ("policy", "size", "expected"),
    [("fail", 4, 4), ("partial", 4, 0), (1, 4, 1), (4, 4, 4), (0.7, 10, 7), (0.5, 3, 2), (1.0, 3, 3), (0.001, 3, 1)],
)
def test_a_policy_is_so_many_members(policy: Policy, size: int, expected: int) -> None:
    assert needed(policy, size) == expected


@pytest.mark.parametrize("policy", ["partail", 5, 0, -1, 0.0, 1.5, True, None])
def test_what_is_no_policy_is_refused(policy: Any) -> None:
    with pytest.raises(DeclarationError, match="policy"):
        needed(policy, 4)


@pytest.mark.parametrize(("policy", "says"), [(0, "at least 1"), (-1, "at least 1"), (5, "has 4 members")])
def test_a_number_of_members_that_cannot_be_is_explained(policy: int, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        needed(policy, 4)
