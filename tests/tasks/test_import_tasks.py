"""Import: how it fails, retries, goes on, and loads no row twice. On the stub and on a real server."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import import_tasks
from tasks.adapters import tables
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.files import BadFile, FileRefused, FileTooLarge, Kind
from tasks.import_tasks import TooManyBadRows, import_file
from tests.tasks.conftest import Store
from understudy import handle
from understudy.testing.faults import Faults

Drain = Callable[..., int]
LONG_ENOUGH = 600
COLUMNS: dict[str, Kind] = {"id": "integer", "name": "text", "price": "number"}

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_tasks, "CHUNK", 10)


def write(store: Store, rows: int, *more: str, name: str = "goods.csv") -> str:
    lines = ["id,name,price", *(f'{n},"name\n{n}",{n / 4}' for n in range(1, rows + 1)), *more]
    (store.root / name).write_text("\n".join(lines) + "\n")
    return name


def loaded(store: Store) -> list[int]:
    return [row["id"] for row in tables.rows(store.database, "goods", key=["id"])]


def quarantined(store: Store, name: str = "quarantine/goods.csv.csv") -> list[dict[str, str]]:
    with (store.root / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_is_loaded_and_what_does_not_fit_is_put_aside_with_the_reasons(drain: Drain, store: Store) -> None:
    source = write(store, 95, "x,,3", "97,=cmd(),nan", ",nobody,", "99,last,")
    message = import_file.send(source, "goods", COLUMNS, ["id"], required=["name"])
    drain()
    result = handle(message).get()
    assert (result["rows"], result["loaded"], result["bad"]) == (99, 96, 3)
    assert loaded(store) == [*range(1, 96), 99]
    bad = quarantined(store)
    assert [line["row"] for line in bad] == ["96", "97", "98"]
    assert bad[0]["reasons"].startswith("name: must not be empty; id: input should be a valid integer")
    assert bad[1]["name"] == "'=cmd()", "what a spreadsheet would run is defused there, too"
    assert "price: " in bad[1]["reasons"]
    assert sorted(path.name for path in (store.root / "quarantine").iterdir()) == ["goods.csv.csv"]


def test_a_row_whose_key_is_there_takes_its_place(drain: Drain, store: Store) -> None:
    store.fill("goods", 3)
    (store.root / "goods.csv").write_text("id,name,price\n2,new,9\n4,four,1\n")
    import_file.send("goods.csv", "goods", COLUMNS, ["id"])
    drain()
    found = {row["id"]: row["name"] for row in tables.rows(store.database, "goods", key=["id"])}
    assert found == {1: "name 1", 2: "new", 3: "name 3", 4: "four"}


@pytest.mark.parametrize("form", ["utf-16", "semicolons", "parquet", "xlsx", "jsonl", "gz"])
def test_how_a_file_is_written_is_found_out(form: str, drain: Drain, store: Store) -> None:
    frame = pl.DataFrame({"id": [1, 2], "name": ["Äpfel", "zwei"], "price": [1.5, None]})
    name = {"utf-16": "g.csv", "semicolons": "g.csv", "gz": "g.csv.gz"}.get(form, f"g.{form}")
    path = store.root / name
    if form == "utf-16":
        path.write_bytes(frame.write_csv().encode("utf-16"))
    elif form == "semicolons":
        path.write_bytes(frame.write_csv(separator=";").encode("cp1252"))
    elif form == "parquet":
        frame.write_parquet(path)
    elif form == "xlsx":
        frame.write_excel(path)
    elif form == "jsonl":
        frame.write_ndjson(path)
    else:
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    message = import_file.send(name, "goods", COLUMNS, ["id"])
    drain()
    assert handle(message).get()["loaded"] == 2
    rows = list(tables.rows(store.database, "goods", key=["id"]))
    assert rows == [{"id": 1, "name": "Äpfel", "price": 1.5}, {"id": 2, "name": "zwei", "price": None}]


def test_a_dry_run_looks_at_every_row_and_loads_none(drain: Drain, store: Store) -> None:
    source = write(store, 95, "x,y,z")
    message = import_file.send(source, "goods", COLUMNS, ["id"], dry_run=True)
    drain()
    result = handle(message).get()
    assert (result["rows"], result["loaded"], result["bad"], result["dry_run"]) == (96, 0, 1, True)
    assert [line["row"] for line in quarantined(store)] == ["96"]
    with pytest.raises(DatabaseRefused, match="no such table"):
        loaded(store)


def test_with_too_many_bad_rows_the_import_fails_and_says_where_they_are(drain: Drain, store: Store) -> None:
    source = write(store, 8, "x,y,z", "x,y,z")
    message = import_file.send(source, "goods", COLUMNS, ["id"], max_bad=0.1)
    drain()
    with pytest.raises(
        TooManyBadRows, match=r"2 of 10 rows do not fit, more than max_bad=0.1 allows: see .*goods\.csv"
    ):
        handle(message).get()
    assert len(quarantined(store)) == 2
    assert handle(message).retries == 0


@pytest.mark.parametrize("nth", range(1, 9))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_exchange_it_loads_every_row_once(
    nth: int, when: Any, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults
) -> None:
    source = write(store, 35, "x,y,z")
    with store.database.transaction() as transaction:
        transaction.execute(
            "CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price FLOAT, times INTEGER DEFAULT 0)"
        )
        transaction.execute(
            "CREATE TRIGGER again AFTER UPDATE OF name ON goods "
            "BEGIN UPDATE goods SET times = times + 1 WHERE id = NEW.id; END"
        )
    message = import_file.send(source, "goods", COLUMNS, ["id"])
    faults.kill_at("item", nth=nth, when=when) if nth < 8 else faults.kill_at("settle", when=when)
    drain()
    freezer.tick(LONG_ENOUGH)
    drain()
    result = handle(message).get()
    assert (result["rows"], result["loaded"], result["bad"]) == (36, 35, 1)
    assert loaded(store) == list(range(1, 36))
    with store.database.reading() as transaction:
        assert transaction.scalar("SELECT SUM(times) FROM goods") == 0, "no row was written twice"
    assert [line["row"] for line in quarantined(store)] == ["36"]


def test_a_database_that_is_away_is_waited_for(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, real, calls = write(store, 25), tables.upsert, list[int]()

    def upsert(*args: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise DatabaseUnavailable("away")
        return real(*args)

    monkeypatch.setattr(tables, "upsert", upsert)
    message = import_file.send(source, "goods", COLUMNS, ["id"])
    drain()
    assert handle(message).status == "RETRY"
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).get()["loaded"] == 25
    assert len(calls) == 4, "the first chunk was not loaded again"


@pytest.mark.parametrize(
    ("source", "options", "error", "why"),
    [
        ("absent.csv", {}, FileNotFoundError, "absent.csv"),
        ("../goods.csv", {}, FileRefused, "FILES_ROOT"),
        ("http://localhost/goods.csv", {}, FileRefused, "FILES_PROTOCOLS"),
        ("goods.csv", {"columns": {"id": "integer", "nam": "text"}}, BadFile, "did you mean 'name'"),
        ("goods.csv", {"key": ["nothing"]}, DatabaseRefused, "nothing"),
        ("goods.csv", {"table": "goods; DROP TABLE x"}, DatabaseRefused, "cannot be the name"),
        ("empty.csv", {}, BadFile, "empty"),
        ("bomb.csv.gz", {}, FileTooLarge, "FILES_MAX_UNPACKED"),
        ("noise.xlsx", {}, BadFile, "XLSX"),
    ],
)
def test_what_cannot_be_imported_is_told_before_anything_is_written(
    source: str,
    options: dict[str, Any],
    error: type[Exception],
    why: str,
    drain: Drain,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FILES_MAX_UNPACKED", "1MiB")
    write(store, 5)
    (store.root / "empty.csv").write_text("")
    (store.root / "noise.xlsx").write_bytes(b"PK\x03\x04 nothing of the kind")
    (store.root / "bomb.csv.gz").write_bytes(gzip.compress(b"id,name,price\n" + b"1,a,2\n" * 400_000))
    given = {"table": "goods", "columns": COLUMNS, "key": ["id"], **options}
    message = import_file.send(source, **given)
    drain()
    with pytest.raises(error, match=why):
        handle(message).get()
    assert handle(message).retries == 0
    with pytest.raises(DatabaseRefused, match="no such table"):
        loaded(store)
