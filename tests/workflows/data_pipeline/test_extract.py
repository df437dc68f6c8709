"""The source is looked at once: how it is read, what its columns hold, where its chunks begin."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.adapters.files import BadFile, open_rows
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.flights import dirty
from tests.workflows.data_pipeline.jobs import PEOPLE
from workflows.data_pipeline.extract import Extracted, extract


def of(source: str, **others: Any) -> Extracted:
    given: dict[str, Any] = {"options": {}, "chunk_rows": 400, "columns": None, "model": None, "missing": ("", "NA")}
    return extract(source, **given | others)


def test_real_flights_with_dirt_are_understood(unsteady: Unsteady) -> None:
    data, _ = dirty(1_000)
    found = of(unsteady.put("flights.csv", data))
    assert found.options == {"format": "csv", "encoding": "utf-16-le", "delimiter": ";"}
    assert found.rows == 1_000
    assert [chunk["rows"] for chunk in found.chunks] == [400, 400, 200]
    kinds = found.columns
    assert (kinds["year"], kinds["dep_delay"], kinds["distance"]) == ("integer", "integer", "integer")
    assert (kinds["carrier"], kinds["tailnum"], kinds["rmarks"]) == ("text", "text", "text")
    assert kinds["time_hour"] == "datetime"


def test_a_chunk_is_read_by_what_was_said_of_it(unsteady: Unsteady) -> None:
    data, _ = dirty(1_000)
    source = unsteady.put("flights.csv", data)
    found = of(source)
    with open_rows(source, **found.options) as reader:
        whole = [row.values for row in reader.rows()]
    with open_rows(source, **found.options) as reader:
        assert [row.values for row in reader.read(found.chunks[2])] == whole[800:]


def test_dirt_late_in_a_file_is_seen_although_not_every_row_is_looked_at(unsteady: Unsteady) -> None:
    rows = "".join(f"{number},{'a' if number > 9_000 else number}\n" for number in range(12_000))
    found = of(unsteady.put("late.csv", "id,code\n" + rows), chunk_rows=1_000)
    assert found.columns == {"id": "integer", "code": "text"}


def test_columns_that_were_asked_for_must_be_there(unsteady: Unsteady) -> None:
    source = unsteady.put("a.csv", "Id,Name\n1,Ada\n")
    assert of(source, columns={"id": "integer!"}).columns == {"id": "integer!"}
    with pytest.raises(ValueError, match="no column 'size'; it has id, name"):
        of(source, columns={"size": "integer"})


def test_a_file_without_rows_has_no_chunks(unsteady: Unsteady) -> None:
    found = of(unsteady.put("a.csv", "id,name\n"))
    assert (found.rows, found.chunks, found.columns) == (0, [], {"id": "text", "name": "text"})


def test_a_source_that_is_changed_while_it_is_looked_at_is_told(unsteady: Unsteady) -> None:
    source = unsteady.put("people.csv", PEOPLE)

    def change(path: str) -> None:
        unsteady.on_open = lambda path: None
        unsteady.put("people.csv", PEOPLE + "7,late,NA\n")

    unsteady.on_open = change
    with pytest.raises(BadFile, match="not what it was when the run began"):
        of(source)


def test_a_json_lines_file_without_rows_has_no_chunks(unsteady: Unsteady) -> None:
    found = of(unsteady.put("none.jsonl", ""), columns={"id": "integer"})
    assert (found.columns, found.chunks, found.rows) == ({"id": "integer"}, [], 0)
