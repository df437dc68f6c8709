"""Upsert, reading by key, and chunks that are applied once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from tasks.adapters.database import Database, Transaction
from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.tables import (
    Column,
    Table,
    applied,
    applied_behind,
    apply_once,
    check_columns,
    check_key,
    check_name,
    columns_of,
    count,
    ensure,
    forget,
    rows,
    upsert,
)

FLIGHTS = Table(
    "flights",
    {"day": Column("date"), "number": Column("integer"), "carrier": Column("text"), "late": Column("number")},
    key=("day", "number"),
)


def flight(number: int, carrier: str = "UA", late: float | None = None) -> dict[str, Any]:
    return {"day": date(2013, 1, 1), "number": number, "carrier": carrier, "late": late}


def put(database: Database, *flights: dict[str, Any]) -> int:
    with database.transaction() as transaction:
        return upsert(transaction, FLIGHTS, flights)


def found(database: Database) -> list[dict[str, Any]]:
    return list(rows(database, "SELECT number, carrier, late FROM flights", key=["number"]))


def test_rows_are_inserted_and_those_with_the_same_key_replaced(database: Database) -> None:
    assert ensure(database, FLIGHTS)
    assert put(database, flight(1, late=2.5), flight(2), flight(2, "AA")) == 3
    assert put(database, flight(1, "B6"), flight(3)) == 2
    assert found(database) == [
        {"number": 1, "carrier": "B6", "late": None},
        {"number": 2, "carrier": "AA", "late": None},
        {"number": 3, "carrier": "UA", "late": None},
    ]


def test_values_of_every_kind_come_back_as_they_were(database: Database) -> None:
    table = Table(
        "kinds",
        {
            "id": Column("integer"),
            "share": Column("number"),
            "on": Column("boolean"),
            "day": Column("date"),
            "at": Column("datetime"),
            "select": Column("text"),
        },
        key=("id",),
    )
    ensure(database, table)
    row = {
        "id": 2**53 + 1,
        "share": 0.1,
        "on": True,
        "day": date(2024, 2, 29),
        "at": datetime(2024, 2, 29, 12, 0, 0, 5),
        "select": "'; DROP TABLE kinds; --",
    }
    with database.transaction() as transaction:
        upsert(transaction, table, [row, {"id": 1}])
    import sqlalchemy as sa  # typed columns, so that SQLite's texts become dates again

    query = sa.select(sa.column("day", sa.Date), sa.column("at", sa.DateTime), sa.column("on", sa.Boolean))
    with database.reading() as transaction:
        typed = transaction.select(query.select_from(sa.table("kinds")).where(sa.column("id") > 1))
    assert typed == [{"day": row["day"], "at": row["at"], "on": True}]
    (first, second) = rows(database, "kinds", key=["id"])
    assert (first["id"], first["share"], first["select"]) == (1, None, None)
    assert (second["id"], second["share"], second["select"]) == (row["id"], 0.1, row["select"])


def test_a_table_that_is_all_key_ignores_what_it_has(database: Database) -> None:
    table = Table("seen", {"id": Column("integer")}, key=("id",))
    ensure(database, table)
    for _ in range(2):
        with database.transaction() as transaction:
            assert upsert(transaction, table, [{"id": 1}, {"id": 2}]) == 2
    assert count(database, "seen") == 2


def test_a_table_that_is_there_is_looked_at_and_left_as_it_is(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.execute("CREATE TABLE flights (day DATE, number INTEGER, carier TEXT, PRIMARY KEY (number, day))")
    with pytest.raises(DatabaseRefused, match=r"no column 'carrier' \(did you mean 'carier'\?\)"):
        ensure(database, FLIGHTS)
    with database.transaction() as transaction:
        transaction.execute("ALTER TABLE flights ADD COLUMN carrier TEXT")
        transaction.execute("ALTER TABLE flights ADD COLUMN late FLOAT")
    assert not ensure(database, FLIGHTS)
    with pytest.raises(DatabaseRefused, match="no primary key or unique index on number"):
        ensure(database, Table("flights", FLIGHTS.columns, key=("number",)))
    with database.transaction() as transaction:
        transaction.execute("CREATE UNIQUE INDEX by_number ON flights (number)")
    assert not ensure(database, Table("flights", FLIGHTS.columns, key=("number",)))


def test_of_many_that_make_a_table_at_once_one_does(database: Database) -> None:
    begin, made = threading.Barrier(4), []

    def make() -> None:
        begin.wait()
        made.append(ensure(database, FLIGHTS))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]


def test_rows_are_read_in_parts_and_from_behind_any_key(database: Database) -> None:
    ensure(database, FLIGHTS)
    put(database, *(flight(number) for number in range(25)))
    day = found(database)[0]
    assert day["number"] == 0
    for batch in (1, 5, 10, 25, 100):
        assert [row["number"] for row in rows(database, "flights", key=["number"], batch=batch)] == list(range(25))
    assert [row["number"] for row in rows(database, "flights", key=["number"], after=[19], batch=3)] == [
        20,
        21,
        22,
        23,
        24,
    ]
    key = ["day", "number"]
    last = [next(rows(database, "flights", key=key))["day"], 22]
    assert [row["number"] for row in rows(database, "flights", key=key, after=last)] == [23, 24]
    query = "SELECT number FROM flights WHERE number < 7"
    assert [row["number"] for row in rows(database, query, key=["number"], after=[4])] == [5, 6]
    assert (count(database, query), count(database, "flights")) == (7, 25)


# -- once ----------------------------------------------------------------------------------------------------


def load(database: Database, number: int, *flights: dict[str, Any]) -> Any:
    def work(transaction: Transaction) -> dict[str, int]:
        return {"rows": upsert(transaction, FLIGHTS, flights)}

    return apply_once(database, scope="run 1", number=number, work=work)


def test_a_chunk_that_comes_twice_changes_nothing_and_has_the_same_outcome(database: Database) -> None:
    ensure(database, FLIGHTS)
    first = load(database, 0, flight(1), flight(2))
    assert (first.outcome, first.fresh) == ({"rows": 2}, True)
    again = load(database, 0, flight(3, "other rows"))
    assert (again.outcome, again.fresh) == ({"rows": 2}, False)
    load(database, 1, flight(4))
    assert [row["number"] for row in found(database)] == [1, 2, 4]
    assert applied(database, "run 1") == {0: {"rows": 2}, 1: {"rows": 1}}
    assert applied(database, "run 2") == {}


def test_a_chunk_that_fails_can_be_tried_again(database: Database) -> None:
    ensure(database, FLIGHTS)
    with pytest.raises(DatabaseRefused):
        load(database, 0, flight(1), {"carrier": "no key"})
    assert found(database) == []
    assert load(database, 0, flight(1)).fresh


def test_of_two_workers_with_one_chunk_the_second_waits_and_does_nothing(database: Database, database_url: str) -> None:
    ensure(database, FLIGHTS)
    load(database, 9)
    inside, go = threading.Event(), threading.Event()
    results: dict[str, Any] = {}

    def apply(name: str, where: Database, work: Callable[[Transaction], str]) -> None:
        results[name] = apply_once(where, scope="r", number=0, work=work)

    def slowly(transaction: Transaction) -> str:
        inside.set()
        go.wait(20)
        upsert(transaction, FLIGHTS, [flight(1, "first")])
        return "first"

    def at_once(transaction: Transaction) -> str:
        upsert(transaction, FLIGHTS, [flight(1, "second")])
        return "second"

    second = Database(database_url)
    threads = [
        threading.Thread(target=apply, args=("first", database, slowly)),
        threading.Thread(target=apply, args=("second", second, at_once)),
    ]
    threads[0].start()
    inside.wait(20)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    go.set()
    for thread in threads:
        thread.join()
    # Which of them comes back first is open.
    assert (results["first"].outcome, results["first"].fresh) == ("first", True)
    assert (results["second"].outcome, results["second"].fresh) == ("first", False)
    assert [row["carrier"] for row in found(database)] == ["first"]
    second.close()


def test_of_two_chunks_of_a_run_the_second_sees_what_the_first_did(database: Database, database_url: str) -> None:
    load(database, 9)
    inside, go = threading.Event(), threading.Event()
    seen: dict[int, list[int]] = {}

    def slowly(transaction: Transaction) -> None:
        seen[5] = applied_behind(transaction, "r", 5)
        inside.set()
        go.wait(20)

    def at_once(transaction: Transaction) -> None:
        seen[2] = applied_behind(transaction, "r", 2)

    second = Database(database_url)
    threads = [
        threading.Thread(target=lambda: apply_once(database, scope="r", number=5, work=slowly)),
        threading.Thread(target=lambda: apply_once(second, scope="r", number=2, work=at_once)),
    ]
    threads[0].start()
    inside.wait(20)
    threads[1].start()
    threads[1].join(0.2)
    assert 2 not in seen, "the second one waits"
    go.set()
    for thread in threads:
        thread.join()
    assert seen == {5: [], 2: [5]}
    second.close()


def test_what_was_applied_can_be_forgotten(database: Database) -> None:
    ensure(database, FLIGHTS)
    load(database, 0, flight(1))
    assert forget(database, "run 1") == 1
    assert load(database, 0, flight(1)).fresh


# -- queries that came in a message --------------------------------------------------------------------------

ESCAPES = "SELECT 1 AS id) AS q; COMMIT; DELETE FROM flights; SELECT count(*) FROM (SELECT 1 AS id"


@pytest.mark.parametrize(
    "read",
    [
        lambda database: count(database, ESCAPES),
        lambda database: columns_of(database, ESCAPES),
        lambda database: list(rows(database, ESCAPES, key=["id"])),
    ],
    ids=["count", "columns_of", "rows"],
)
def test_a_query_cannot_bring_a_second_statement(read: Callable[[Database], object], database: Database) -> None:
    ensure(database, FLIGHTS)
    load(database, 0, flight(1))
    with pytest.raises(DatabaseRefused):
        read(database)
    assert len(found(database)) == 1


def test_a_table_that_got_a_column_meanwhile_is_read_with_it(database: Database, database_url: str) -> None:
    ensure(database, FLIGHTS)
    load(database, 0, flight(1))
    assert len(next(iter(rows(database, "flights", key=["number"])))) == 4
    other = Database(database_url)
    with other.transaction() as transaction:
        transaction.execute("ALTER TABLE flights ADD COLUMN gate VARCHAR(5)")
    other.close()
    assert len(next(iter(rows(database, "flights", key=["number"])))) == 5


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "a;b", "1a", "a" * 64, 'a"b', "sqlite_master", "é"])
def test_a_name_that_not_every_database_takes_is_refused(name: str) -> None:
    with pytest.raises(DatabaseRefused, match="cannot be the name"):
        check_name(name)
    with pytest.raises(DatabaseRefused):
        Table(name, {"id": Column("integer")}, key=("id",))


def test_a_key_is_made_of_columns() -> None:
    with pytest.raises(DatabaseRefused, match=r"there is no column 'numbr' \(did you mean 'number'\?\)"):
        Table("t", {"number": Column("integer")}, key=("numbr",))
    with pytest.raises(DatabaseRefused, match="is empty"):
        Table("t", {"number": Column("integer")}, key=())


def test_a_time_with_a_zone_is_stored_in_utc(database: Database) -> None:
    table = Table("times", {"id": Column("integer"), "at": Column("datetime")}, key=("id",))
    ensure(database, table)
    at = datetime.fromisoformat("2026-03-01T00:30:00+05:00")
    with database.transaction() as transaction:
        if transaction.dialect == "postgresql":
            transaction.execute("SET TIME ZONE 'America/New_York'")
        upsert(transaction, table, [{"id": 1, "at": at}])
    with database.reading() as transaction:
        assert str(transaction.scalar("SELECT at FROM times")).startswith("2026-02-28 19:30")


@pytest.mark.parametrize("name", ["understudy_ledger", "Understudy_Exports", "understudy_anything"])
def test_a_table_of_our_own_is_none_to_load_into(name: str) -> None:
    with pytest.raises(DatabaseRefused, match="is a table of Understudy's own"):
        Table(name, {"id": Column("integer")}, key=("id",))


@pytest.fixture
def fares(database: Database) -> Database:
    """A table whose columns are unique, or not, in every way there is."""
    with database.transaction() as transaction:
        transaction.execute(
            "CREATE TABLE fares "
            "(id INTEGER PRIMARY KEY, code TEXT UNIQUE, route TEXT, day TEXT, twice INTEGER, free TEXT)"
        )
        transaction.execute("CREATE UNIQUE INDEX fares_some ON fares (twice) WHERE twice > 5")
        transaction.execute("CREATE UNIQUE INDEX fares_free ON fares (free)")
        transaction.execute("CREATE VIEW cheap AS SELECT id, twice FROM fares")
        values = "INSERT INTO fares VALUES (:id, :code, :route, :day, :twice, :free)"
        for n in range(4):
            row: dict[str, Any] = {"id": n, "code": f"c{n}", "route": "ab"[n % 2], "day": "xy"[n // 2]}
            transaction.execute(values, **row, twice=n // 2, free=None)
    return database


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("fares", ["id"]),
        ("fares", ["code"]),
        ("fares", ["twice", "id"]),
        ("fares", ["route", "day"]),
        ("cheap", ["id"]),
        ("SELECT code FROM fares", ["code"]),
    ],
)
def test_what_names_each_row_is_a_key(source: str, key: list[str], fares: Database) -> None:
    check_columns(fares, source, key)
    check_key(fares, source, key)


@pytest.mark.parametrize(
    ("source", "key", "why"),
    [
        ("fares", ["route"], "fares has rows with the same route"),
        ("fares", ["twice"], "fares has rows with the same twice"),
        ("fares", ["free"], "fares has rows whose 'free' is null"),
        ("fares", ["id", "free"], "fares has rows whose 'free' is null"),
        ("cheap", ["twice"], "cheap has rows with the same twice"),
        ("SELECT route, day FROM fares WHERE id < 3", ["route"], "the query has rows with the same route"),
    ],
)
def test_a_key_by_which_rows_would_be_lost_is_refused(source: str, key: list[str], why: str, fares: Database) -> None:
    with pytest.raises(DatabaseRefused, match=why):
        check_key(fares, source, key)


def test_the_key_of_a_table_may_be_null_where_the_database_lets_it(fares: Database) -> None:
    with fares.transaction() as transaction:
        if transaction.dialect != "sqlite":
            return  # others let no primary key be null
        transaction.execute("CREATE TABLE odd (id TEXT PRIMARY KEY)")
        transaction.execute("INSERT INTO odd VALUES ('a'), (NULL), (NULL)")
    with pytest.raises(DatabaseRefused, match="'id' is null"):
        check_key(fares, "odd", ["id"])


@pytest.mark.parametrize(
    ("names", "why"), [(["cod"], "fares has no column 'cod' .did you mean 'code'"), (["ID"], "no column 'ID'")]
)
def test_a_column_that_there_is_not_is_told(names: list[str], why: str, fares: Database) -> None:
    check_columns(fares, "fares", ["id", "free"])
    with pytest.raises(DatabaseRefused, match=why):
        check_columns(fares, "fares", names)


def test_two_columns_of_one_name_are_told_apart_or_refused(fares: Database) -> None:
    query = "SELECT id, id FROM fares"
    with fares.reading() as transaction:
        tells_apart = transaction.dialect == "sqlite"
    if tells_apart:
        check_columns(fares, query, ["id"])
        assert len(set(columns_of(fares, query))) == 2
        return
    with pytest.raises(DatabaseRefused, match="the query has two columns 'id'; name one of them otherwise, with AS"):
        check_columns(fares, query, [])


def test_an_index_of_some_rows_finds_no_row_again(fares: Database) -> None:
    with pytest.raises(DatabaseRefused, match="no primary key or unique index on twice"):
        ensure(fares, Table("fares", {"twice": Column("integer")}, key=("twice",)))
