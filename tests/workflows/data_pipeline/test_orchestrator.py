"""The whole pipeline on the stub broker and on a server: what comes of a file, and how it stops and goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tasks.adapters.database import open_database
from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.tables import count, rows
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.flights import KEY, dirty, flights
from tests.workflows.data_pipeline.jobs import PEOPLE
from understudy import WorkflowHandle, chain, handle
from understudy.errors import ChordError
from workflows.data_pipeline.orchestrator import run_pipeline
from workflows.data_pipeline.validate import TooManyBadRows

Drain = Callable[..., int]


def options(unsteady: Unsteady, **others: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"work": f"{unsteady.url}/work", "quarantine": f"{unsteady.url}/quarantine"}
    return given | others


def people(unsteady: Unsteady, **others: Any) -> WorkflowHandle:
    """A run of six people, of whom two are bad, in chunks of two."""
    columns = {"id": "integer", "name": "text!", "born": "date"}
    given = {"key": ["id"], "columns": columns, "chunk_rows": 2, "max_bad": 0.5}
    source = unsteady.put("people.csv", PEOPLE)
    return chain(run_pipeline.message(source, "people", **options(unsteady, **given | others))).run()


def names() -> list[str]:
    return [row["name"] for row in rows(open_database(), "people", key=["id"])]


def test_real_flights_with_dirt_are_in_the_table_and_the_dirt_in_the_quarantine(
    drain: Drain, unsteady: Unsteady
) -> None:
    data, bad = dirty(1_500)
    source = unsteady.put("flights.csv", data)
    message = run_pipeline.send(source, "flights", **options(unsteady, key=KEY, chunk_rows=400))
    drain()
    summary = handle(message).get()
    assert (summary["rows"], summary["bad"], summary["valid"]) == (1_500, bad, 1_500 - bad)
    assert summary["loaded"] == 1_500 - bad == count(open_database(), "flights")
    assert (summary["chunks"], summary["failed"]) == (4, [])
    lines = unsteady.read(summary["quarantine"]).splitlines()
    assert lines[0] == "row,field,reason,value"
    assert len(lines) == 1 + bad
    assert [int(line.split(",")[0]) for line in lines[1:]] == sorted(
        number for number in range(1, 1_501) if number % 97 == 0 or number % 101 == 0
    )
    # Every value arrived as it was in the source.
    header, *given = flights(1_500)
    stored = {tuple(row[name] for name in KEY): row for row in rows(open_database(), "flights", key=KEY)}
    for number, row in enumerate(given, 1):
        if number % 97 and number % 101:
            expected = dict(zip(header, row, strict=True))
            key = tuple(expected[name] if name in ("carrier", "origin") else int(expected[name]) for name in KEY)
            delay = stored[key]["dep_delay"]
            assert ("NA" if delay is None else str(delay)) == expected["dep_delay"]
    # What was between the steps is gone.
    assert unsteady.names("work") == []


def test_a_small_run_tells_what_came_of_it(drain: Drain, unsteady: Unsteady) -> None:
    found = people(unsteady)
    drain()
    summary = found.get()
    assert {name: summary[name] for name in ("rows", "valid", "bad", "loaded", "chunks", "failed", "table")} == {
        "rows": 6,
        "valid": 4,
        "bad": 2,
        "loaded": 4,
        "chunks": 3,
        "failed": [],
        "table": "people",
    }
    assert sorted(names()) in (["Ada", "Barbara", "Linus"], ["Ada", "Barbara", "Linus T."])
    assert set(summary["seconds_by_step"]) == {"validate", "load"}


def test_an_empty_file_is_a_run_of_no_rows(drain: Drain, unsteady: Unsteady) -> None:
    message = run_pipeline.send(unsteady.put("none.csv", "id,name\n"), "people", **options(unsteady))
    drain()
    summary = handle(message).get()
    assert (summary["rows"], summary["chunks"], summary["loaded"]) == (0, 0, 0)


def test_too_many_bad_rows_stop_the_run_before_anything_is_loaded(drain: Drain, unsteady: Unsteady) -> None:
    found = people(unsteady, max_bad=0.3)
    drain()
    assert found.status == "FAILURE"
    with pytest.raises(TooManyBadRows, match=r"2 of 6 rows .* max_bad=0.3 .* see unsteady://files/quarantine/.*csv"):
        found.get()
    assert len(unsteady.names("quarantine")) == 1
    with open_database().reading() as transaction:
        assert transaction.scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'people'") == 0


def test_a_source_that_cannot_be_read_stops_the_run_at_once(drain: Drain, unsteady: Unsteady) -> None:
    found = chain(run_pipeline.message(f"{unsteady.url}/nowhere.csv", "people")).run()
    assert drain() == 1
    with pytest.raises(FileNotFoundError):
        found.get()


def refuse(name: str) -> None:
    with open_database().transaction() as transaction:
        check = f"CHECK (name <> '{name}')"
        transaction.execute(f"CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT {check}, born DATE)")


def allow() -> None:
    with open_database().transaction() as transaction:
        transaction.execute("ALTER TABLE people RENAME TO old")
        transaction.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, born DATE)")
        transaction.execute("INSERT INTO people SELECT * FROM old")


def test_a_chunk_that_fails_stops_the_run_and_a_resume_loads_that_chunk_only(drain: Drain, unsteady: Unsteady) -> None:
    refuse("Ada")
    found = people(unsteady)
    drain()
    assert found.status == "FAILURE"
    assert isinstance(found.get(propagate=False), ChordError)
    with pytest.raises(DatabaseRefused, match="CHECK constraint failed"):
        found.get()
    assert "Barbara" in names()  # the other chunks were finished
    assert "Ada" not in names()
    allow()
    with open_database().transaction() as transaction:
        transaction.execute("UPDATE people SET name = 'loaded before'")
    before = len(unsteady.opened)
    found.resume()
    drain()
    assert (found.get()["loaded"], found.get()["bad"]) == (4, 2)
    assert set(names()) == {"Ada", "loaded before"}
    # Each was removed at the end, and before: the failed one read, and the others asked for their keys.
    touched = Counter(name.rpartition("/")[2] for name in unsteady.opened[before:])
    assert [touched[f"ready-{index:06}.parquet"] for index in range(3)] == [2, 2, 2]
    assert [touched[f"valid-{index:06}.parquet"] for index in range(3)] == [1, 1, 1]


def test_with_partial_the_rest_is_loaded_and_the_summary_names_what_was_not(drain: Drain, unsteady: Unsteady) -> None:
    refuse("Ada")
    found = people(unsteady, policy="partial")
    drain()
    summary = found.get()
    assert summary["loaded"] == 3
    (failed,) = summary["failed"]
    assert failed["chunk"] == 0
    assert "CHECK constraint failed" in failed["error"]


def test_the_same_file_again_changes_nothing(drain: Drain, unsteady: Unsteady) -> None:
    people(unsteady)
    drain()
    before = list(rows(open_database(), "people", key=["id"]))
    people(unsteady)
    drain()
    assert list(rows(open_database(), "people", key=["id"])) == before


def test_no_row_is_in_a_message_or_a_result(drain: Drain, unsteady: Unsteady, broker: Any) -> None:
    found = people(unsteady)
    drain()
    storage = broker.storage
    everything = repr(found.get())
    for key in storage.client.scan_iter(match=storage.keys.pattern()):
        if storage.client.type(key) == b"hash":
            everything += repr(storage.client.hgetall(key))
    assert "people" in everything
    for content in ("Barbara", "yesterday"):
        assert content not in everything
