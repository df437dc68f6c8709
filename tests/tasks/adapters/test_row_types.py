from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from tasks.adapters.kinds import Kind
from tasks.adapters.row_types import RowTypes


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", " 42 ", 42),
        ("integer", "-7", -7),
        ("integer", 3.0, 3),
        ("number", "2.5e3", 2_500.0),
        ("number", 7, 7.0),
        ("text", 'Ünïcödé, "quoted"\nlines', 'Ünïcödé, "quoted"\nlines'),
        ("text", 12, "12"),
        ("text", 12_345.0, "12345"),
        ("text", 2.5, "2.5"),
        ("text", date(2026, 2, 28), "2026-02-28"),
        ("text", datetime(2026, 2, 28, 10, 30), "2026-02-28T10:30:00"),
        ("text", True, "true"),
        ("text", "-5", "-5"),
        ("boolean", "yes", True),
        ("boolean", "0", False),
        ("date", "2026-02-28", date(2026, 2, 28)),
        ("datetime", "2026-02-28T10:30:00", datetime(2026, 2, 28, 10, 30)),
        ("datetime", datetime(2026, 2, 28), datetime(2026, 2, 28)),
        ("datetime", " 2026-03-01T00:30:00+05:00 ", datetime(2026, 2, 28, 19, 30, tzinfo=UTC)),
        ("datetime", "2026-03-01 00:30Z", datetime(2026, 3, 1, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_value_becomes_what_its_column_holds(kind: Kind, text: Any, value: Any) -> None:
    assert RowTypes({"c": kind}).read({"c": text}) == ({"c": value}, [])


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("integer", "4.5", "c: input should be a valid integer"),
        ("integer", "NA", "c: input should be a valid integer"),
        ("integer", str(2**63), "c: input should be less than"),
        ("number", "nan", "c: input should be a finite number"),
        ("number", "1,5", "c: input should be a valid number"),
        ("text", "a\0b", "c: holds a NUL"),
        ("text", "\ud800", "c: "),
        ("text", "=1+1", "c: begins like a formula"),
        ("boolean", "maybe", "c: input should be a valid boolean"),
        ("date", "2026-02-30", "c: input should be a valid date"),
        ("datetime", "yesterday", "c: is no date and time"),
        ("datetime", "20260301", "c: is no date and time"),
        ("datetime", "7", "c: is no date and time"),
        ("datetime", 7, "c: is no date and time"),
    ],
)
def test_a_value_that_cannot_is_told_without_repeating_it(kind: Kind, text: str, why: str) -> None:
    row, problems = RowTypes({"c": kind}).read({"c": text})
    assert row == {}
    assert len(problems) == 1
    assert problems[0].startswith(why)


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_what_is_empty_is_nothing_unless_it_is_required(empty: str | None) -> None:
    columns: dict[str, Kind] = {"a": "integer", "b": "text"}
    assert RowTypes(columns).read({"a": empty, "b": empty}) == ({"a": None, "b": None}, [])
    assert RowTypes(columns).read({}) == ({"a": None, "b": None}, [])
    assert RowTypes(columns, required=["b"]).read({"a": 1, "b": empty})[1] == ["b: must not be empty"]


def test_all_problems_of_a_row_are_told() -> None:
    columns: dict[str, Kind] = {"a": "integer", "b": "date", "c": "text"}
    _, problems = RowTypes(columns, required=["c"]).read({"a": "x", "b": "y"})
    assert [problem.partition(":")[0] for problem in problems] == ["c", "a", "b"]


def test_formulas_can_be_let_in_and_what_nobody_asked_for_is_left_out() -> None:
    assert RowTypes({"c": "text"}, formulas=True).read({"c": "=1+1", "other": "x"}) == ({"c": "=1+1"}, [])


def test_a_column_may_have_any_name() -> None:
    columns: dict[str, Kind] = {"model_config": "integer", "copy": "integer", "1 2": "integer", "_x": "integer"}
    row = dict.fromkeys(columns, 1)
    assert RowTypes(columns).read(row) == (row, [])


@pytest.mark.parametrize("value", ["20260228", " 20217600 ", "-86400", "86400.0", 20217600, 86400.0, True])
def test_a_number_is_no_date(value: object) -> None:
    values, problems = RowTypes({"day": "date"}).read({"day": value})
    assert values == {}
    assert problems == ["day: is no date; write 2026-02-28"]
