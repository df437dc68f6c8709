"""Migrations run by themselves, once, whoever comes first."""

from __future__ import annotations

import threading

import pytest

from tasks.adapters.database import Database
from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.migrations import Migration, migrate

FIRST = Migration(1, "users", "CREATE TABLE users (id INTEGER PRIMARY KEY)")
SECOND = Migration(
    2,
    "plans",
    (
        {"sqlite": "ALTER TABLE users ADD COLUMN plan TEXT", "postgresql": "ALTER TABLE users ADD COLUMN plan TEXT"},
        "INSERT INTO users VALUES (1, 'free')",
    ),
)


def users(database: Database) -> list[dict[str, object]]:
    with database.reading() as transaction:
        return transaction.select("SELECT * FROM users")


def test_an_empty_database_becomes_a_current_one(database: Database) -> None:
    assert migrate(database, "demo", [FIRST]) == [1]
    assert migrate(database, "demo", [FIRST, SECOND]) == [2]
    assert migrate(database, "demo", [FIRST, SECOND]) == []
    assert users(database) == [{"id": 1, "plan": "free"}]


def test_one_that_fails_leaves_nothing_of_any(database: Database) -> None:
    broken = Migration(2, "broken", ("CREATE TABLE half (id INTEGER)", "SELEKT"))
    with pytest.raises(DatabaseRefused):
        migrate(database, "demo", [FIRST, broken])
    with pytest.raises(DatabaseRefused), database.reading() as transaction:
        transaction.select("SELECT * FROM half")
    assert migrate(database, "demo", [FIRST, SECOND]) == [1, 2]


def test_of_many_that_start_at_once_one_does_it(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(6)]
    begin, done = threading.Barrier(6), []

    def start(database: Database) -> None:
        begin.wait()
        done.append(migrate(database, "demo", [FIRST, SECOND]))

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [[], [], [], [], [], [1, 2]]
    assert users(databases[0]) == [{"id": 1, "plan": "free"}]
    for database in databases:
        database.close()


def test_an_older_program_does_not_touch_a_newer_database(database: Database, database_url: str) -> None:
    migrate(database, "demo", [FIRST, SECOND])
    older = Database(database_url)
    with pytest.raises(DatabaseRefused, match="version 2 of demo, this program knows 1"):
        migrate(older, "demo", [FIRST])
    older.close()


def test_migrations_are_numbered_without_gaps(database: Database) -> None:
    with pytest.raises(DatabaseRefused, match="not numbered"):
        migrate(database, "demo", [SECOND])
