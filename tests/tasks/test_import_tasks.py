"""Import: how it fails, retries, goes on, and loads no row twice. On the stub and on a real server."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import import_tasks
from tasks.adapters import tables
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.files import BadFile, FileRefused, FileTooLarge, Kind
from tasks.export_tasks import export_rows
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


def quarantined(store: Store) -> list[dict[str, str]]:
    (path,) = (store.root / "quarantine").glob("*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tables_of(store: Store) -> set[str]:
    with store.database.reading() as transaction:
        return {row["name"] for row in transaction.select("SELECT name FROM sqlite_master WHERE type = 'table'")}


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
    (path,) = (store.root / "quarantine").iterdir()
    assert result["quarantine"] == str(path)


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
    assert tables_of(store) == set(), "nor is anything noted"


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_dry_run_that_is_killed_says_the_same(
    nth: int, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults
) -> None:
    source = write(store, 15, "x,y,z", "16,a,b")
    message = import_file.send(source, "goods", COLUMNS, ["id"], dry_run=True, max_bad=1.0)
    # At the last exchange its parts are gone already, and nothing has told its successor what was in them.
    faults.kill_at("item", nth=nth) if nth < 3 else faults.kill_at("settle")
    drain()
    freezer.tick(LONG_ENOUGH)
    drain()
    result = handle(message).get()
    assert (result["rows"], result["loaded"], result["bad"]) == (17, 0, 2)
    assert [line["row"] for line in quarantined(store)] == ["16", "17"]


def test_imports_of_files_of_one_name_have_a_quarantine_each_and_keep_all_fields(drain: Drain, store: Store) -> None:
    columns: dict[str, Kind] = {"id": "integer", "row": "text", "surplus": "text"}
    for bad in ("x", "y"):
        (store.root / bad).mkdir()
        (store.root / bad / "goods.csv").write_text(f"id,row,surplus\n1,a,b\n{bad},r,s\n3,r,s,more,and more\n")
    messages = [import_file.send(f"{bad}/goods.csv", "goods", columns, ["id"], max_bad=1.0) for bad in ("x", "y")]
    drain()
    found = []
    for path in (handle(message).get()["quarantine"] for message in messages):
        with Path(path).open(encoding="utf-8", newline="") as file:
            found.append(list(csv.DictReader(file)))
    reasons = [[line.pop("_reasons" if "_reasons" in line else "reasons") for line in lines] for lines in found]
    for bad, lines in zip(("x", "y"), found, strict=True):
        assert lines == [
            {"_row": "2", "id": bad, "row": "r", "surplus": "s", "_surplus": ""},
            {"_row": "3", "id": "3", "row": "r", "surplus": "s", "_surplus": '["more","and more"]'},
        ]
    assert reasons[0][1] == "has 5 fields where the header has 3"


# At the second exchange the first chunk is loaded, and nobody but the database knows of it.
@pytest.mark.parametrize(("nth", "dry_run"), [(2, False), (3, False), (3, True)])
def test_a_file_that_changes_between_two_attempts_is_not_mixed(
    nth: int, dry_run: bool, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults
) -> None:
    message = import_file.send(write(store, 35), "goods", COLUMNS, ["id"], dry_run=dry_run)
    faults.kill_at("item", nth=nth)
    drain()
    before = [] if dry_run else loaded(store)
    write(store, 37)
    freezer.tick(LONG_ENOUGH)
    drain()
    with pytest.raises(BadFile, match=r"goods\.csv was changed since this import began"):
        handle(message).get()
    assert handle(message).retries == 0
    assert dry_run or len(before) == len(loaded(store)) == 10 * (nth - 1)


def test_a_file_that_changes_while_it_is_read_is_not_mixed(
    drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = tables.upsert, list[int]()

    def upsert(*args: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            write(store, 40)
        return real(*args)

    monkeypatch.setattr(tables, "upsert", upsert)
    message = import_file.send(write(store, 35), "goods", COLUMNS, ["id"])
    drain()
    with pytest.raises(BadFile, match="was changed since this import began"):
        handle(message).get()
    assert loaded(store) == list(range(1, 21)), "what it had read before stays"


def test_a_chunk_that_another_execution_has_loaded_of_another_file_is_noticed(
    drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tables.applied

    def applied(database: Any, scope: str) -> Any:
        found = real(database, scope)
        tables.apply_once(database, scope=scope, number=1, work=lambda transaction: "of another file")
        return found

    monkeypatch.setattr(tables, "applied", applied)
    message = import_file.send(write(store, 35), "goods", COLUMNS, ["id"])
    drain()
    with pytest.raises(BadFile, match="was changed since this import began"):
        handle(message).get()
    assert loaded(store) == list(range(1, 11))


def test_an_import_whose_rejects_were_cleaned_away_says_so(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults
) -> None:
    (store.root / "goods.csv").write_text("\n".join(["id,name,price", "x,y,z", *(f"{n},n,1" for n in range(34))]))
    message = import_file.send("goods.csv", "goods", COLUMNS, ["id"])
    faults.kill_at("item", nth=4)
    drain()
    (parts,) = (store.root / "quarantine").iterdir()
    (parts / "000001.1.csv").unlink()  # without it nobody would know of a bad row
    freezer.tick(LONG_ENOUGH)
    drain()
    with pytest.raises(BadFile, match=r"part 1 of 4 in .*\.parts is gone"):
        handle(message).get()
    assert handle(message).retries == 0


def test_an_export_without_rows_can_be_imported(drain: Drain, store: Store) -> None:
    store.fill("goods", 0)
    for format in ("jsonl", "csv", "parquet", "xlsx"):
        export_rows.send("goods", f"none.{format}")
        drain()
        message = import_file.send(f"none.{format}", f"copy_{format}", COLUMNS, ["id"])
        drain()
        assert handle(message).get()["rows"] == 0
        assert f"copy_{format}" in tables_of(store)


def test_a_share_of_bad_rows_is_counted_as_a_person_would(drain: Drain, store: Store) -> None:
    source = write(store, 71, *["x,y,z"] * 29)
    exact = import_file.send(source, "goods", COLUMNS, ["id"], max_bad=0.29)
    drain()
    assert handle(exact).get()["bad"] == 29


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
        ("goods.csv", {"key": "id"}, ValueError, "key is a list of names"),
        ("goods.csv", {"required": ["nme"]}, ValueError, "required names 'nme'.*did you mean 'name'"),
        ("goods.csv", {"columns": {"id": "int"}}, ValueError, "columns: 'id' cannot be 'int'.*integer"),
        ("goods.csv", {"max_bad": 5}, ValueError, "max_bad is a share of the rows, from 0 to 1, not 5"),
        ("goods.csv", {"max_bad": float("nan")}, ValueError, "max_bad is a share"),
        ("goods.csv", {"table": "understudy_ledger"}, DatabaseRefused, "Understudy's own"),
        ("noise.jsonl", {}, BadFile, "none of the first 2 rows has a column: is not JSON"),
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
    (store.root / "noise.jsonl").write_text("x\ny\n")
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
