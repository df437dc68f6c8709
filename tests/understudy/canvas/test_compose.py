"""Workflows as values."""

from __future__ import annotations

from typing import Any

import pytest

from understudy import actor, chain, chord, group, step
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas.compose import Policy, needed
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
