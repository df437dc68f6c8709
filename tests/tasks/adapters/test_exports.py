"""The register of exports, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from tasks.adapters.database import Database
from tasks.adapters.exports import (
    Export,
    archived,
    count_expired,
    created,
    expired,
    first_unarchived,
    register,
    registered,
    strike_out,
)

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


def test_many_are_struck_out_at_once(database: Database) -> None:
    many = [replace(ONE, id=f"m{n}", url=f"{n}") for n in range(5)]
    for export in many:
        register(database, export)
    assert strike_out(database, *many[:3], replace(many[3], created_at=99.0)) == 3
    assert strike_out(database) == 0
    assert [registered(database, export.id) is None for export in many] == [True, True, True, False, False]


def test_those_of_a_time_are_listed_the_oldest_first(database: Database) -> None:
    for id, created_at in (("late", 300.0), ("b", 200.0), ("a", 100.0), ("early", 99.9)):
        register(database, replace(ONE, id=id, url=id, created_at=created_at))
    assert [export.id for export in created(database, start=100.0, end=300.0)] == ["a", "b"]


def test_those_that_are_gone_are_listed_until_they_are_archived(database: Database) -> None:
    for id, url, created_at in (("struck", "a", 100.0), ("replaced", "b", 110.0), ("newer", "b", 120.0)):
        register(database, replace(ONE, id=id, url=url, created_at=created_at))
    assert strike_out(database, replace(ONE, id="struck", created_at=100.0))
    assert not strike_out(database, replace(ONE, id="struck", created_at=100.0))
    assert [export.id for export in expired(database, now=1e9)] == ["newer"]
    assert count_expired(database, now=1e9) == 1
    for _ in range(2):
        assert [export.id for export in created(database, start=0.0, end=200.0)] == ["struck", "replaced", "newer"]
        assert archived(database, start=0.0, end=200.0) == 0
    assert archived(database, start=200.0, end=300.0) == 2
    assert [export.id for export in created(database, start=0.0, end=200.0)] == ["newer"]


def test_those_whose_time_is_over_are_read_on_behind_one(database: Database) -> None:
    for id, expires_at in (("c", 200.0), ("b", 200.0), ("a", 100.0)):
        register(database, replace(ONE, id=id, url=id, expires_at=expires_at))
    first, second = expired(database, now=200.0, most=2)
    assert [export.id for export in expired(database, now=200.0, after=second)] == ["c"]
    assert [export.id for export in expired(database, now=200.0, after=first)] == ["b", "c"]


def test_the_oldest_that_is_in_no_archive_is_known(database: Database) -> None:
    assert first_unarchived(database, before=1e9) is None
    for id, created_at in (("a", 100.0), ("b", 200.0)):
        register(database, replace(ONE, id=id, url=id, created_at=created_at))
    assert first_unarchived(database, before=100.0) is None
    assert first_unarchived(database, before=1e9) == 100.0
    archived(database, start=100.0, end=200.0)
    assert first_unarchived(database, before=1e9) == 200.0
