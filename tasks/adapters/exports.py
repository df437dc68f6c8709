"""The register of exported files: where each is, what is in it, and when it may go.

What is not there any more stays in the register until it is archived: the archive is to have all that was made.
"""

from __future__ import annotations

from dataclasses import dataclass

from understudy import clock

from .database import Database
from .migrations import Migration, migrate

_MIGRATIONS = (
    Migration(
        1,
        "exports",
        (
            """
            CREATE TABLE understudy_exports (
                id VARCHAR(300) NOT NULL PRIMARY KEY,
                url TEXT NOT NULL,
                rows BIGINT NOT NULL,
                bytes BIGINT NOT NULL,
                sha256 VARCHAR(64) NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                expires_at DOUBLE PRECISION
            )
            """,
            "CREATE INDEX understudy_exports_expiry ON understudy_exports (expires_at)",
        ),
    ),
    Migration(
        2,
        "exports that are gone, and those that are archived",
        (
            "ALTER TABLE understudy_exports ADD COLUMN removed_at DOUBLE PRECISION",
            "ALTER TABLE understudy_exports ADD COLUMN archived_at DOUBLE PRECISION",
        ),
    ),
)
_COLUMNS = "id, url, rows, bytes, sha256, created_at, expires_at"


@dataclass(frozen=True)
class Export:
    """A file that was exported. Times are in seconds since the epoch; ``expires_at`` is None when it stays."""

    id: str
    url: str
    rows: int
    bytes: int
    sha256: str
    created_at: float
    expires_at: float | None


def register(database: Database, export: Export) -> None:
    """Write ``export`` down in the place of one of the same id; another one at the same place is not there any more."""
    migrate(database, "exports", _MIGRATIONS)
    with database.transaction() as transaction:
        transaction.execute("DELETE FROM understudy_exports WHERE id = :id", id=export.id)
        transaction.execute(
            "UPDATE understudy_exports SET removed_at = :at WHERE url = :url AND removed_at IS NULL",
            at=export.created_at,
            url=export.url,
        )
        transaction.execute(
            f"INSERT INTO understudy_exports ({_COLUMNS}) "
            "VALUES (:id, :url, :rows, :bytes, :sha256, :created_at, :expires_at)",
            [vars(export)],
        )


def registered(database: Database, id: str) -> Export | None:
    """The export of this id, if it was registered and is still there."""
    migrate(database, "exports", _MIGRATIONS)
    with database.reading() as transaction:
        query = f"SELECT {_COLUMNS} FROM understudy_exports WHERE id = :id AND removed_at IS NULL"
        found = transaction.select(query, id=id)
    return Export(**found[0]) if found else None


def expired(database: Database, *, now: float, after: Export | None = None, most: int = 1_000) -> list[Export]:
    """The exports whose time is over, the oldest first; only those behind ``after`` when it is given."""
    migrate(database, "exports", _MIGRATIONS)
    behind = "" if after is None else "AND (expires_at > :last OR (expires_at = :last AND id > :id)) "
    values = {} if after is None else {"last": after.expires_at, "id": after.id}
    with database.reading() as transaction:
        found = transaction.select(
            f"SELECT {_COLUMNS} FROM understudy_exports WHERE removed_at IS NULL AND expires_at <= :now {behind}"
            "ORDER BY expires_at, id LIMIT :most",
            now=now,
            most=most,
            **values,
        )
    return [Export(**row) for row in found]


def count_expired(database: Database, *, now: float) -> int:
    """How many exports there are whose time is over."""
    migrate(database, "exports", _MIGRATIONS)
    query = "SELECT COUNT(*) FROM understudy_exports WHERE removed_at IS NULL AND expires_at <= :now"
    with database.reading() as transaction:
        return int(transaction.scalar(query, now=now))


def created(database: Database, *, start: float, end: float) -> list[Export]:
    """The exports that were made from ``start`` on and before ``end``, the oldest first, also those that are
    gone."""
    migrate(database, "exports", _MIGRATIONS)
    with database.reading() as transaction:
        found = transaction.select(
            f"SELECT {_COLUMNS} FROM understudy_exports WHERE created_at >= :start AND created_at < :end "
            "ORDER BY created_at, id",
            start=start,
            end=end,
        )
    return [Export(**row) for row in found]


def first_unarchived(database: Database, *, before: float) -> float | None:
    """When the oldest export was made that is in no archive; None when all that were made before a moment are."""
    migrate(database, "exports", _MIGRATIONS)
    query = "SELECT MIN(created_at) FROM understudy_exports WHERE archived_at IS NULL AND created_at < :before"
    with database.reading() as transaction:
        found = transaction.scalar(query, before=before)
    return None if found is None else float(found)


def strike_out(database: Database, *gone: Export) -> int:
    """Note in one transaction that exports are gone, each if it is still the one that was read; returns how many
    were."""
    statement = (
        "UPDATE understudy_exports SET removed_at = :now "
        "WHERE id = :id AND created_at = :created_at AND removed_at IS NULL"
    )
    with database.transaction() as transaction:
        now = clock.now()
        return sum(transaction.execute(statement, now=now, id=one.id, created_at=one.created_at) for one in gone)


def archived(database: Database, *, start: float, end: float) -> int:
    """Note that the exports of a time are archived. Those of earlier times that are archived and gone leave the
    register; returns how many. (Those of this time stay: whoever archives them again is to find them.)"""
    migrate(database, "exports", _MIGRATIONS)
    with database.transaction() as transaction:
        transaction.execute(
            "UPDATE understudy_exports SET archived_at = :now WHERE created_at >= :start AND created_at < :end",
            now=clock.now(),
            start=start,
            end=end,
        )
        return transaction.execute(
            "DELETE FROM understudy_exports "
            "WHERE created_at < :start AND removed_at IS NOT NULL AND archived_at IS NOT NULL",
            start=start,
        )
