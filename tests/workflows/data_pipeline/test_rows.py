"""What a row must be, and what columns hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field

from workflows.data_pipeline import rows as rows_module
from workflows.data_pipeline.rows import Guess, Rows, columns_of, model_named, row_model, usable_names

COLUMNS = {"id": "integer!", "Share Of": "number", "on": "boolean", "day": "date", "at": "datetime", "note": "text"}


def test_texts_become_what_their_columns_hold() -> None:
    given = {
        "id": " 7 ",
        "Share Of": "0.5",
        "on": "TRUE",
        "day": "2024-02-29",
        "at": "2024-02-29T12:00:00",
        "note": " a ",
    }
    assert Rows(COLUMNS).check(given) == (
        {
            "id": 7,
            "Share Of": 0.5,
            "on": True,
            "day": date(2024, 2, 29),
            "at": datetime(2024, 2, 29, 12),
            "note": " a ",
        },
        [],
    )


def test_what_has_its_type_already_keeps_it_and_nothing_is_none() -> None:
    row, problems = Rows(COLUMNS, missing=("", "NA")).check({"id": 1, "day": date(2024, 1, 1), "note": 5, "on": "NA"})
    assert problems == []
    assert row == {"id": 1, "Share Of": None, "on": None, "day": date(2024, 1, 1), "at": None, "note": "5"}


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"id": "seven"}, "id", "valid integer"),
        ({"id": ""}, "id", "is missing"),
        ({}, "id", "is missing"),
        ({"id": "1", "on": "perhaps"}, "on", "valid boolean"),
        ({"id": "1", "day": "31.12.2024"}, "day", "valid date"),
        ({"id": "1", "Share Of": "1,5"}, "Share Of", "valid number"),
        ({"id": "1", "day": "20260228"}, "day", "is no date; write"),
        ({"id": "1", "day": "20217600"}, "day", "is no date; write"),  # the seconds of a midnight in 1970
        ({"id": "1", "day": 20217600}, "day", "is no date; write"),
        ({"id": "1", "at": "20260228"}, "at", "is no date and time; write"),
        ({"id": "1", "at": 1.5}, "at", "is no date and time; write"),
    ],
)
def test_what_is_wrong_is_told_by_field(given: dict[str, Any], field: str, reason: str) -> None:
    row, [(found, why)] = Rows(COLUMNS).check(given)
    assert row is None
    assert found == field
    assert reason in why


def test_a_time_that_is_required_is_missing_like_any_other() -> None:
    row, problems = Rows({"at": "datetime!", "day": "date!"}).check({"at": "", "day": None})
    assert row is None
    assert problems == [("at", "is missing"), ("day", "is missing")]


def test_a_time_with_a_zone_is_utc_and_objects_are_json() -> None:
    row, problems = Rows({"at": "datetime", "more": "text"}).check(
        {"at": "2026-02-28T01:30:00+02:00", "more": {"a": [1, None]}}
    )
    assert problems == []
    assert row == {"at": datetime(2026, 2, 27, 23, 30, tzinfo=UTC), "more": '{"a":[1,null]}'}


def test_every_wrong_field_is_told() -> None:
    _, problems = Rows(COLUMNS).check({"id": "x", "on": "perhaps"})
    assert [field for field, _ in problems] == ["id", "on"]


# -- a model of one's own ------------------------------------------------------------------------------------


@pytest.fixture
def flight() -> Iterator[type[BaseModel]]:
    class Flight(BaseModel):
        flight: int = Field(ge=1)
        carrier: str
        late: float | None = None

    before = dict(rows_module._MODELS)
    yield row_model("flight")(Flight)
    rows_module._MODELS.clear()
    rows_module._MODELS.update(before)


def test_a_registered_model_has_rules_of_its_own(flight: type[BaseModel]) -> None:
    columns = columns_of(flight)
    assert columns == {"flight": "integer!", "carrier": "text!", "late": "number"}
    rows = Rows(columns, model="flight", missing=("NA",))
    assert rows.check({"flight": "12", "carrier": "UA", "late": "NA"})[0] == {
        "flight": 12,
        "carrier": "UA",
        "late": None,
    }
    assert rows.check({"flight": "0", "carrier": "UA"})[1] == [("flight", "Input should be greater than or equal to 1")]


def test_a_model_is_registered_once_and_found_by_name(flight: type[BaseModel]) -> None:
    assert model_named("flight") is flight
    with pytest.raises(ValueError, match="two models"):
        row_model("flight")(flight)
    with pytest.raises(ValueError, match=r"no model of rows called 'fligth'; there are .*flight"):
        model_named("fligth")


# -- finding out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "-3"], "integer"),
        (["1", "2.5"], "number"),
        (["true", "False"], "boolean"),
        (["2024-01-01", "2024-12-31"], "date"),
        (["2024-01-01", "2024-01-01T10:00:00Z"], "datetime"),
        (["a", "1"], "text"),
        (["01234", "56789"], "text"),
        (["0", "10"], "integer"),
        (["", "NA"], "text"),
        ([1, 2.5, None], "number"),
        ([date(2024, 1, 1)], "date"),
        (["1"] * 95 + ["dirt"] * 5, "integer"),
        (["1"] * 80 + ["dirt"] * 20, "text"),
    ],
)
def test_a_column_is_of_the_kind_that_nearly_all_of_it_is(values: list[Any], kind: str) -> None:
    guess = Guess(["a"], ("", "NA"))
    for value in values:
        guess.look({"a": value})
    assert guess.kinds() == {"a": kind}


def test_names_become_those_of_a_table() -> None:
    assert usable_names(["Dep. Time", "id", "2nd", "Größe", "--"]) == {
        "Dep. Time": "dep_time",
        "id": "id",
        "2nd": "c_2nd",
        "Größe": "gre",
        "--": "column",
    }
    with pytest.raises(ValueError, match="'a b', 'A-B' would both be 'a_b'"):
        usable_names(["a b", "A-B"])
