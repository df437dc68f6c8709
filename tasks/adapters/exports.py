"""The register of exported files: where each is, what is in it, and when it may go."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Write ``export`` down; one of the same id, or at the same place, is not there any more."""
    migrate(database, "exports", _MIGRATIONS)
    with database.transaction() as transaction:
        transaction.execute("DELETE FROM understudy_exports WHERE id = :id OR url = :url", id=export.id, url=export.url)
        transaction.execute(
            f"INSERT INTO understudy_exports ({_COLUMNS}) "
            "VALUES (:id, :url, :rows, :bytes, :sha256, :created_at, :expires_at)",
            [vars(export)],
        )


def registered(database: Database, id: str) -> Export | None:
    """The export of this id, if it was registered."""
    migrate(database, "exports", _MIGRATIONS)
    with database.reading() as transaction:
        found = transaction.select(f"SELECT {_COLUMNS} FROM understudy_exports WHERE id = :id", id=id)
    return Export(**found[0]) if found else None


def expired(database: Database, *, now: float, most: int = 1_000) -> list[Export]:
    """The exports whose time is over, the oldest first."""
    migrate(database, "exports", _MIGRATIONS)
    with database.reading() as transaction:
        found = transaction.select(
            f"SELECT {_COLUMNS} FROM understudy_exports WHERE expires_at <= :now ORDER BY expires_at, id LIMIT :most",
            now=now,
            most=most,
        )
    return [Export(**row) for row in found]


def count_expired(database: Database, *, now: float) -> int:
    """How many exports there are whose time is over."""
    migrate(database, "exports", _MIGRATIONS)
    with database.reading() as transaction:
        return int(transaction.scalar("SELECT COUNT(*) FROM understudy_exports WHERE expires_at <= :now", now=now))


def created(database: Database, *, start: float, end: float) -> list[Export]:
    """The exports that were made from ``start`` on and before ``end``, the oldest first."""
    migrate(database, "exports", _MIGRATIONS)
    with database.reading() as transaction:
        found = transaction.select(
            f"SELECT {_COLUMNS} FROM understudy_exports WHERE created_at >= :start AND created_at < :end "
            "ORDER BY created_at, id",
            start=start,
            end=end,
        )
    return [Export(**row) for row in found]


def strike_out(database: Database, export: Export) -> bool:
    """Remove an export from the register, if it is still the one that was read."""
    with database.transaction() as transaction:
        statement = "DELETE FROM understudy_exports WHERE id = :id AND created_at = :created_at"
        return bool(transaction.execute(statement, id=export.id, created_at=export.created_at))
