"""The register of exports, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from tasks.adapters.database import Database
from tasks.adapters.exports import Export, created, expired, register, registered, strike_out

ONE = Export("m1", "/files/a.csv", 3, 40, "ab" * 32, 100.0, 200.5)


def test_an_export_is_found_by_its_id(database: Database) -> None:
    assert registered(database, "m1") is None
    register(database, ONE)
    assert registered(database, "m1") == ONE


def test_a_later_export_takes_the_place_of_one_at_the_same_place(database: Database) -> None:
    register(database, ONE)
    register(database, replace(ONE, rows=4, created_at=101.0))
    register(database, replace(ONE, id="m2", created_at=102.0))
    assert registered(database, "m1") is None
    assert registered(database, "m2") == replace(ONE, id="m2", created_at=102.0)


def test_those_whose_time_is_over_are_listed_the_oldest_first(database: Database) -> None:
    for id, expires_at in (("late", 300.0), ("never", None), ("b", 200.0), ("a", 100.0)):
        register(database, replace(ONE, id=id, url=id, expires_at=expires_at))
    assert [export.id for export in expired(database, now=200.0)] == ["a", "b"]
    assert [export.id for export in expired(database, now=1e9, most=2)] == ["a", "b"]


def test_only_the_export_that_was_read_is_struck_out(database: Database) -> None:
    register(database, ONE)
    register(database, replace(ONE, created_at=150.0, expires_at=None))
    assert not strike_out(database, ONE)
    assert registered(database, "m1") is not None
    assert strike_out(database, replace(ONE, created_at=150.0))
    assert registered(database, "m1") is None


def test_those_of_a_time_are_listed_the_oldest_first(database: Database) -> None:
    for id, created_at in (("late", 300.0), ("b", 200.0), ("a", 100.0), ("early", 99.9)):
        register(database, replace(ONE, id=id, url=id, created_at=created_at))
    assert [export.id for export in created(database, start=100.0, end=300.0)] == ["a", "b"]
