"""Export: how it fails, retries, goes on, and never shows half a file. On the stub and on a real server."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import export_tasks
from tasks.adapters import file_parts, file_writers, tables
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.file_errors import BadFile, FileRefused
from tasks.adapters.files import open_rows
from tasks.export_tasks import export_rows
from tests.tasks.conftest import Store
from understudy import handle
from understudy.testing.faults import Faults

Drain = Callable[..., int]
LONG_ENOUGH = 600

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_tasks, "PAGE", 10)


def ids(store: Store, name: str) -> list[int]:
    with (store.root / name).open(encoding="utf-8", newline="") as file:
        return [int(row["id"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "xlsx"])
def test_a_table_is_written_in_every_format(format: str, drain: Drain, store: Store) -> None:
    store.fill("goods", 25)
    message = export_rows.send("goods", f"out/goods.{format}")
    drain()
    result = handle(message).get()
    path = store.root / f"out/goods.{format}"
    assert result["rows"] == 25
    assert result["url"] == str(path)
    assert result["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    with open_rows(str(path)) as reader:
        found = [(int(row.values["id"]), row.values["name"], float(row.values["price"])) for row in reader.rows()]
    assert found == [(n, f"name {n}", n / 4) for n in range(1, 26)]


def test_no_page_is_read_before_the_one_before_it_is_written(
    drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand rows are in memory at once, not those of five hundred pages."""
    store.fill("goods", 45)
    write = file_parts.Parts.write

    def written(parts: file_parts.Parts, number: int, rows: list[dict[str, Any]]) -> None:
        write(parts, number, rows)
        with store.database.transaction() as transaction:
            transaction.execute("UPDATE goods SET name = :name WHERE id > :last", name=f"{number}", last=10 * number)

    monkeypatch.setattr(file_parts.Parts, "write", written)
    message = export_rows.send("goods", "out.csv")
    drain()
    assert handle(message).get()["rows"] == 45
    with (store.root / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)][10:] == [str((n - 1) // 10) for n in range(11, 46)]


def test_a_query_is_written_with_the_columns_that_are_wanted(drain: Drain, store: Store) -> None:
    store.fill("goods", 25)
    query = "SELECT id, name, price * 2 AS twice FROM goods WHERE id > 20"
    message = export_rows.send(query, "out.csv", key=["id"], columns=["twice", "id"])
    drain()
    assert handle(message).get()["rows"] == 5
    assert (store.root / "out.csv").read_text().splitlines()[:2] == ["twice,id", "10.5,21"]


def test_an_export_says_when_it_may_go(drain: Drain, freezer: FrozenDateTimeFactory, store: Store) -> None:
    store.fill("goods", 1)
    soon, never = (export_rows.send("goods", f"{n}.csv", expires_in=n) for n in (60.0, None))
    drain()
    assert handle(soon).get()["expires_at"] == freezer().timestamp() + 60
    assert handle(never).get()["expires_at"] is None


def test_a_worker_that_dies_goes_on_with_the_page_that_was_in_flight(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fill("goods", 45)
    written: list[int] = []
    real = file_parts.Parts.write

    def write(parts: file_parts.Parts, number: int, rows: Any) -> None:
        written.append(number)
        real(parts, number, rows)
        if written.count(3) == 1 and number == 3:
            faults.kill_worker()

    monkeypatch.setattr(file_parts.Parts, "write", write)
    message = export_rows.send("goods", "out.csv")
    drain()
    assert not (store.root / "out.csv").exists()
    freezer.tick(LONG_ENOUGH)
    drain()
    assert written == [1, 2, 3, 3, 4, 5]
    assert handle(message).get()["rows"] == 45
    assert ids(store, "out.csv") == list(range(1, 46))
    assert [path.name for path in store.root.iterdir()] == ["out.csv"], "no part is left behind"


def test_an_export_whose_parts_were_cleaned_away_says_so_and_publishes_nothing(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fill("goods", 45)
    real = file_parts.Parts.write

    def write(parts: file_parts.Parts, number: int, rows: Any) -> None:
        real(parts, number, rows)
        if number == 3 and not lost:
            lost.append(parts.directory.path)
            faults.kill_worker()

    lost: list[str] = []
    monkeypatch.setattr(file_parts.Parts, "write", write)
    message = export_rows.send("goods", "out.csv")
    drain()
    shutil.rmtree(lost[0])
    freezer.tick(LONG_ENOUGH)
    drain()
    with pytest.raises(BadFile, match="part 1 of 5"):
        handle(message).get()
    assert not (store.root / "out.csv").exists()


def test_a_worker_that_dies_after_the_file_appeared_does_nothing_twice(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults
) -> None:
    store.fill("goods", 25)
    message = export_rows.send("goods", "out.csv")
    faults.kill_at("settle")
    drain()
    path = store.root / "out.csv"
    before = path.stat().st_mtime_ns
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).get()["rows"] == 25
    assert path.stat().st_mtime_ns == before


def test_a_database_that_is_away_is_waited_for(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fill("goods", 25)
    real, calls = tables.rows, []

    def rows(*args: Any, **options: Any) -> Any:
        calls.append(options["after"])
        if len(calls) == 1:
            raise DatabaseUnavailable("away")
        return real(*args, **options)

    monkeypatch.setattr(tables, "rows", rows)
    message = export_rows.send("goods", "out.csv")
    drain()
    assert handle(message).status == "RETRY"
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).get()["rows"] == 25


@pytest.mark.parametrize(
    ("arguments", "options", "error", "why"),
    [
        (("absent", "out.csv"), {"key": ["id"]}, DatabaseRefused, "no such table"),
        (("SELECT * FROM goods", "out.csv"), {}, DatabaseRefused, "no primary key to read by"),
        (("goods; DROP TABLE goods", "out.csv"), {"key": ["id"]}, DatabaseRefused, "syntax error"),
        (("DELETE FROM goods", "out.csv"), {"key": ["id"]}, DatabaseRefused, "syntax error"),
        (("goods", "../out.csv"), {}, FileRefused, "FILES_ROOT"),
        (("goods", "/etc/out.csv"), {}, FileRefused, "FILES_ROOT"),
        (("goods", "out.doc"), {}, BadFile, "csv, jsonl, parquet, xlsx"),
        (("goods", "out.csv"), {"database": "env:HOME"}, DatabaseRefused, "_URL"),
        (("goods", "out.csv"), {"columns": ["id", "nme"]}, DatabaseRefused, "goods has no column 'nme'.*'name'"),
        (("SELECT * FROM goods", "out.csv"), {"key": ["no"]}, DatabaseRefused, "has no column 'no'; it has id, name"),
        (("goods", "out.csv"), {"key": ["price"]}, DatabaseRefused, "goods has rows with the same price"),
        (("goods", "out.csv"), {"key": ["name"]}, DatabaseRefused, "goods has rows whose 'name' is null"),
        (
            ("SELECT 1 AS a, id FROM goods", "out.csv"),
            {"key": ["a"]},
            DatabaseRefused,
            "query has rows with the same a",
        ),
        (("goods", "out.csv"), {"key": "id"}, ValueError, "key is a list of names"),
        (("goods", "out.csv"), {"columns": ["id", "id"]}, ValueError, "columns names 'id' twice"),
        (("goods", "out.parquet"), {"kinds": {"id": "int"}}, ValueError, "kinds: 'id' cannot be 'int'"),
        (("goods", "out.parquet"), {"kinds": {"ids": "text"}}, ValueError, "kinds names 'ids'.*'id'"),
        (("goods", "out.csv"), {"expires_in": float("nan")}, ValueError, "expires_in is a number"),
    ],
)
def test_what_cannot_be_exported_is_told_and_leaves_nothing(
    arguments: Any, options: dict[str, Any], error: type[Exception], why: str, drain: Drain, store: Store
) -> None:
    store.fill("goods", 5)
    with store.database.transaction() as transaction:
        transaction.execute("UPDATE goods SET price = 1 WHERE id > 3")
        transaction.execute("UPDATE goods SET name = NULL WHERE id = 3")
    message = export_rows.send(*arguments, **options)
    drain()
    with pytest.raises(error, match=why):
        handle(message).get()
    assert handle(message).retries == 0
    assert list(store.root.iterdir()) == []
    with store.database.reading() as transaction:
        assert transaction.scalar("SELECT COUNT(*) FROM goods") == 5


def test_more_rows_than_a_sheet_has_are_refused_before_the_first(
    drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fill("goods", 25)
    monkeypatch.setattr(file_writers, "SHEET", 26)
    fits = export_rows.send("goods", "fits.xlsx")
    drain()
    assert handle(fits).get()["rows"] == 25
    monkeypatch.setattr(file_writers, "SHEET", 25)
    monkeypatch.setattr(file_parts.Parts, "write", None)  # it does not come to that
    message = export_rows.send("goods", "out.xlsx")
    drain()
    with pytest.raises(ValueError, match="a sheet of XLSX holds 25 rows"):
        handle(message).get()


def test_a_text_that_a_spreadsheet_would_run_is_written_as_text(drain: Drain, store: Store) -> None:
    store.fill("goods", 1)
    with store.database.transaction() as transaction:
        transaction.execute("UPDATE goods SET name = :name", name="=HYPERLINK(1)")
    export_rows.send("goods", "out.csv")
    drain()
    assert "'=HYPERLINK(1)" in (store.root / "out.csv").read_text()
