"""A chunk goes into its table once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.adapters import tables
from tasks.adapters.database import Database, open_database
from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.tables import rows
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.jobs import job_of
from understudy import handle
from understudy.testing.conditions import wait_until
from workflows.data_pipeline import load
from workflows.data_pipeline.job import Job, Report
from workflows.data_pipeline.load import load_chunk, table_of
from workflows.data_pipeline.transform import transform_chunk
from workflows.data_pipeline.validate import validate_chunk

Drain = Callable[..., int]


def ready(unsteady: Unsteady, **options: Any) -> tuple[Job, Report]:
    job, chunks = job_of(unsteady, **options)
    return job, transform_chunk.fn(job, validate_chunk.fn(job, chunks[0]))


def names(database: Database) -> list[str]:
    return [row["name"] for row in rows(database, "people", key=["id"])]


def test_a_chunk_is_in_the_table_however_often_its_message_comes(drain: Drain, unsteady: Unsteady) -> None:
    job, report = ready(unsteady)
    first = load_chunk.send(report, job)
    drain()
    assert handle(first).get()["loaded"] == 3
    assert names(open_database()) == ["Ada", "Linus T.", "Barbara"]
    with open_database().transaction() as transaction:
        transaction.execute("UPDATE people SET name = 'changed since'")
    # Another message, as after a resume whose idempotency record is gone: the database itself remembers.
    again = load_chunk.send(report, job)
    drain()
    assert handle(again).get()["loaded"] == 3
    assert set(names(open_database())) == {"changed since"}


def test_another_run_replaces_rows_by_their_key(drain: Drain, unsteady: Unsteady) -> None:
    for text in ("id,name,born\n1,Ada,NA\n2,Grace,NA\n", "id,name,born\n2,Grace H.,NA\n3,Linus,NA\n"):
        job, report = ready(unsteady, text=text)
        load_chunk.send(report, job)
        drain()
    assert names(open_database()) == ["Ada", "Grace H.", "Linus"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_rows_with_one_key_the_last_of_the_file_stays_in_whatever_order_chunks_come(
    order: tuple[int, ...], unsteady: Unsteady
) -> None:
    lines = ["1,first,NA", "2,Ada,NA", "1,second,NA", "3, third ,NA", "3,last,NA", "1,last,NA"]
    job, chunks = job_of(unsteady, "\n".join(["id,name,born", *lines]), chunk_rows=2)
    reports = [transform_chunk.fn(job, validate_chunk.fn(job, chunk)) for chunk in chunks]
    loaded = {place: load_chunk.fn(reports[place], job)["loaded"] for place in order}
    assert names(open_database()) == ["last", "Ada", "last"]
    assert loaded[2] == 2
    assert loaded[1] == (0 if order.index(2) < order.index(1) else 2)
    assert loaded[0] == (2 if order[0] == 0 else 1)


def test_of_chunks_that_are_loaded_at_once_the_later_one_stays(
    unsteady: Unsteady, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", postgres_url)
    job, chunks = job_of(unsteady, "id,name,born\n1,early,NA\n1,late,NA\n", chunk_rows=1, into="env:WAREHOUSE_URL")
    early, late = (transform_chunk.fn(job, validate_chunk.fn(job, chunk)) for chunk in chunks)
    warehouse, real = open_database("env:WAREHOUSE_URL"), tables.upsert
    inside, go = threading.Event(), threading.Event()

    def upsert(*arguments: Any) -> int:
        done = real(*arguments)
        if not inside.is_set():
            inside.set()
            go.wait(20)
        return done

    def somebody_waits() -> bool:
        waiting = (
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with warehouse.reading() as transaction:
            return bool(transaction.scalar(waiting))

    monkeypatch.setattr(load, "upsert", upsert)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(load_chunk.fn, late, job)
        inside.wait(20)
        second = pool.submit(load_chunk.fn, early, job)
        wait_until(somebody_waits)
        go.set()
    assert (first.result()["loaded"], second.result()["loaded"]) == (1, 0)
    assert names(warehouse) == ["late"]


def test_a_row_that_the_table_refuses_leaves_nothing_of_its_chunk(drain: Drain, unsteady: Unsteady) -> None:
    with open_database().transaction() as transaction:
        transaction.execute(
            "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'Linus T.'), born DATE)"
        )
    job, report = ready(unsteady)
    message = load_chunk.send(report, job)
    drain()
    with pytest.raises(DatabaseRefused, match="CHECK constraint failed"):
        handle(message).get()
    assert handle(message).retries == 0
    assert names(open_database()) == []


def test_another_database_may_be_named(
    drain: Drain, unsteady: Unsteady, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", postgres_url)
    job, report = ready(unsteady, into="env:WAREHOUSE_URL")
    message = load_chunk.send(report, job)
    drain()
    assert handle(message).get()["loaded"] == 3
    assert names(open_database("env:WAREHOUSE_URL")) == ["Ada", "Linus T.", "Barbara"]


def test_the_table_has_the_kinds_and_the_key_of_the_job(unsteady: Unsteady) -> None:
    job, _ = job_of(unsteady)
    table = table_of(job)
    assert (table.name, table.key) == ("people", ("id",))
    assert [(column.kind, column.required) for column in table.columns.values()] == [
        ("integer", True),
        ("text", True),
        ("date", False),
    ]
