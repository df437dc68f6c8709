"""What goes into tables, noted by the database row by row."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from tasks.adapters import events, tables
from tasks.adapters.database import open_database
from tasks.analytics_tasks import recompute_roll_ups
from tasks.import_tasks import import_file
from tests.matrix.mains.house import Call, House
from tests.matrix.mains.mains import Main, main, whole
from workflows.data_pipeline.load import load_chunk
from workflows.data_pipeline.planning import plan
from workflows.data_pipeline.transform import transform_chunk
from workflows.data_pipeline.validate import validate_chunk

ROWS = 1_000


class _Load(Main):
    unit = f"{ROWS:,} rows into a table"
    _table: ClassVar[str]

    def open(self, house: House) -> None:
        columns = {"batch": tables.Column("text", required=True), "id": tables.Column("integer", required=True)}
        goal = tables.Table(self._table, columns | {"name": tables.Column("text")}, key=("batch", "id"))
        tables.ensure(open_database(), goal)
        for event in ("INSERT", "UPDATE"):
            house.script(
                f"CREATE TRIGGER {self._table}_{event} AFTER {event} ON {self._table} "
                f"BEGIN INSERT INTO noted VALUES ('{self._table}', NEW.batch); END"
            )

    def effects(self, house: House) -> Counter[str]:
        return whole(house.noted(self._table), ROWS)


@main(import_file, "import")
class ImportFile(_Load):
    unit = f"a CSV file of {ROWS:,} rows into a table"
    _table = "imported"

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        return [self._call(house, f"{batch}-{number}") for number in range(count)]

    def _call(self, house: House, name: str) -> Call:
        path = house.root / f"import-{name}.csv"
        path.write_text("batch,id,name\n" + "".join(f"{name},{n},name of {n}\n" for n in range(ROWS)))
        columns: dict[str, Any] = {"batch": "text", "id": "integer", "name": "text"}
        return Call(import_file.message(path.name, self._table, columns, ["batch", "id"]), name)


@main(load_chunk, "data_pipeline")
class LoadChunk(_Load):
    unit = f"a chunk of {ROWS:,} rows into a table"
    _table = "loaded"

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        names = [f"{batch}-{number}" for number in range(count)]
        source = house.root / f"pipeline-{batch}.csv"
        lines = (f"{name},{n},name of {n}\n" for name in names for n in range(ROWS))
        source.write_text("batch,id,name\n" + "".join(lines))
        columns = {"batch": "text!", "id": "integer!", "name": "text"}
        job, chunks = plan(source.name, self._table, key=["batch", "id"], columns=columns, chunk_rows=ROWS)
        ready = [transform_chunk.fn(job, validate_chunk.fn(job, chunk)) for chunk in chunks]
        return [Call(load_chunk.message(report, job), name) for report, name in zip(ready, names, strict=True)]


@main(recompute_roll_ups, "analytics")
class RecomputeRollUps(Main):
    unit = "the roll-ups of a day of 200 events"
    _names = ("sale", "visit")
    _events = 200

    def __init__(self) -> None:
        self._days = itertools.count()

    def open(self, house: House) -> None:
        events.prepare(open_database())
        house.note("rolled_up", "INSERT ON understudy_rollups", "NEW.starts_at")

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        return [self._call() for _ in range(count)]

    def _call(self) -> Call:
        day = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=next(self._days))
        at = day.timestamp()
        happened = [
            events.Event(f"{at} {n}", self._names[n % 2], at + 60 * n, n / 3, f"subject {n % 17}")
            for n in range(self._events)
        ]
        with open_database().transaction() as transaction:
            events.record(transaction, happened)
        return Call(recompute_roll_ups.message("day", day, day + timedelta(days=1)), str(int(at)))

    def effects(self, house: House) -> Counter[str]:
        return whole(house.noted("rolled_up"), len(self._names))
