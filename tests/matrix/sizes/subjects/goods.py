"""A table to files of every format, and those into tables again, on SQLite and PostgreSQL."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from tasks.export_tasks import export_rows
from tasks.import_tasks import import_file
from tests import postgres
from tests.matrix.mains.house import House
from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import Run
from tests.matrix.sizes.scenes import scene

COLUMNS: dict[str, Any] = {
    "id": "integer",
    "name": "text",
    "email": "text",
    "price": "number",
    "amount": "integer",
    "note": "text",
}
#: One row in so many has no address, and an import requires one.
BAD = 200
NAMES = ", ".join(COLUMNS)
#: Another database, by the variable that has its URL.
WAREHOUSE = "WAREHOUSE_URL"


@scene(export_rows, import_file)
def goods(run: Run) -> Iterator[Figure]:
    """What was exported is imported again, and compared with where it came from."""
    rows = run.of(1_000_000, 2_000)
    _fill(run.house, rows)
    for ending in ("csv", "jsonl", "parquet", "xlsx"):
        yield _exported(run, rows, f"goods.{ending}")
        yield _imported(run, rows, f"goods.{ending}")
        _compare(run.house, rows)
    if (programs := postgres.programs()) is not None:
        with ExitStack() as stack:
            server = stack.enter_context(postgres.serving(programs))
            url = run.house.environment[WAREHOUSE] = stack.enter_context(postgres.database(server))
            run.restart()
            yield _imported(run, rows, "goods.csv", database=f"env:{WAREHOUSE}")
            with psycopg.connect(url) as connection:
                found = connection.execute("SELECT COUNT(*), SUM(id), SUM(amount) FROM copy").fetchone()
            good = "FROM goods WHERE email IS NOT NULL"
            there = tuple(run.house.ask(f"SELECT {what} {good}") for what in ("COUNT(*)", "SUM(id)", "SUM(amount)"))
            assert found == there, f"{found} in PostgreSQL, {there} here"
            yield _exported(run, rows - rows // BAD, "warehouse.csv", source="copy", database=f"env:{WAREHOUSE}")
            run.restart()


def _fill(house: House, rows: int) -> None:
    house.script(
        f"""
        CREATE TABLE goods (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, price REAL, amount INTEGER, note TEXT
        );
        INSERT INTO goods WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            SELECT i, 'Grösse ' || i, CASE WHEN i % {BAD} THEN 'buyer' || i % 9973 || '@example.com' END,
                i / 4.0, i * 7919 % 10007, 'said "so", and then; ' || hex(i * 2654435761 % 4294967296) FROM n;
        """
    )


def _exported(run: Run, rows: int, name: str, *, source: str = "goods", database: str | None = None) -> Figure:
    message = export_rows.message(source, name, kinds=COLUMNS, database=database)
    done = run.work([message])
    (result,) = done.results
    path = run.house.root / name
    assert (result["rows"], result["bytes"]) == (rows, path.stat().st_size)
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == result["sha256"]
    if name.endswith(".csv"):
        _check_order(path, rows)
    assert not list(run.house.root.glob(".*.part*")), "something is left of how it was made"
    on = f"{rows:,} rows of {_shown(database)} to {path.suffix[1:]}, {result['bytes'] / 1e6:,.0f} MB"
    compared = "every row by the import of it" if database is None else "the order of the rows"
    return done.figure("export_rows", on, rows, "rows", f"count, SHA-256, {compared}")


def _check_order(path: Path, rows: int) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        last = count = 0
        for row in csv.DictReader(file):
            assert int(row["id"]) > last, f"{row['id']} comes after {last}"
            last, count = int(row["id"]), count + 1
    assert count == rows


def _imported(run: Run, rows: int, name: str, *, database: str | None = None) -> Figure:
    message = import_file.message(name, "copy", COLUMNS, ["id"], required=["email"], database=database)
    done = run.work([message])
    (result,) = done.results
    bad = rows // BAD
    assert (result["rows"], result["loaded"], result["bad"]) == (rows, rows - bad, bad)
    with Path(result["quarantine"]).open(newline="", encoding="utf-8") as file:
        refused = [int(float(row["id"])) for row in csv.DictReader(file)]  # a sheet has no other numbers
    assert refused == list(range(BAD, rows + 1, BAD))
    size = (run.house.root / name).stat().st_size
    on = f"{rows:,} rows of {Path(name).suffix[1:]} into {_shown(database)}, {size / 1e6:,.0f} MB, {bad:,} bad"
    checked = "every row against where it came from" if database is None else "count, sums"
    return done.figure("import_file", on, rows, "rows", f"{checked}; the bad ones in quarantine")


def _compare(house: House, rows: int) -> None:
    good = f"SELECT {NAMES} FROM goods WHERE email IS NOT NULL"
    assert house.ask("SELECT COUNT(*) FROM copy") == rows - rows // BAD
    assert house.ask(f"SELECT COUNT(*) FROM ({good} EXCEPT SELECT {NAMES} FROM copy)") == 0
    house.script("DROP TABLE copy")


def _shown(database: str | None) -> str:
    return "SQLite" if database is None else "PostgreSQL"
