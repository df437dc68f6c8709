"""What is wrong with an argument is told by its name."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.adapters.arguments import check_kinds, check_names, check_share, part_of


def test_names_are_a_list_in_their_order() -> None:
    assert check_names(("b", "a"), field="key", known=["a", "b", "c"]) == ["b", "a"]
    assert check_names([], field="key") == []


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("id", r"key is a list of names, as \['id'\], not 'id'"),
        ([1], "key is a list of names"),
        (["a", "b", "a"], "key names 'a' twice"),
        (["nmae"], "key names 'nmae', which is none of the columns; did you mean 'name'.*; they are name, b, a"),
    ],
)
def test_names_that_are_none_are_told(names: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_names(names, field="key", known=["name", "b", "a"])


def test_a_kind_that_there_is_not_is_told() -> None:
    check_kinds({"id": "integer"}, field="columns")
    with pytest.raises(ValueError, match=r"columns: 'id' cannot be 'int'; .*; there are integer, number, text"):
        check_kinds({"id": "int"}, field="columns")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True])
def test_what_is_no_share_is_told(share: Any) -> None:
    with pytest.raises(ValueError, match="max_bad is a share of the rows, from 0 to 1, not"):
        check_share(share, field="max_bad")


@pytest.mark.parametrize(
    ("share", "total", "part"),
    [
        (0.1, 1_000, 100),
        (0.29, 100, 29),
        (0.07, 100, 7),
        (0.05, 19, 0),
        (0, 9, 0),
        (1, 9, 9),
        (1.0, 9, 9),
        (1e-7, 5, 0),
    ],
)
def test_a_share_is_the_number_that_a_person_would_count(share: float, total: int, part: int) -> None:
    assert part_of(share, total) == part
