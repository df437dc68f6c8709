"""Migrations that run by themselves: an empty database becomes a current one, whoever comes first. ::

    MIGRATIONS = [
        Migration(1, "users", "CREATE TABLE users (id TEXT PRIMARY KEY)"),
        Migration(2, "plans", "ALTER TABLE users ADD COLUMN plan TEXT"),
    ]
    migrate(database, "onboarding", MIGRATIONS)

A statement is SQL that both dialects take, or a pair of them by dialect. What has run is written down in the same
transaction, and several processes wait for one another.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from understudy import clock

from .database import Database, Transaction
from .database_errors import DatabaseRefused

_TABLE = """
CREATE TABLE IF NOT EXISTS understudy_migrations (
    part VARCHAR(63) NOT NULL,
    version INTEGER NOT NULL,
    name VARCHAR(200) NOT NULL,
    applied_at VARCHAR(40) NOT NULL,
    PRIMARY KEY (part, version)
)
"""


@dataclass(frozen=True)
class Migration:
    """One step. ``statements`` run in order; one that differs between the dialects is a mapping by dialect."""

    version: int
    name: str
    statements: str | Mapping[str, str] | tuple[str | Mapping[str, str], ...]

    def apply(self, transaction: Transaction) -> None:
        """Run its statements."""
        several = self.statements if isinstance(self.statements, tuple) else (self.statements,)
        for statement in several:
            transaction.execute(statement if isinstance(statement, str) else statement[transaction.dialect])


def migrate(database: Database, part: str, migrations: Sequence[Migration]) -> list[int]:
    """Bring the tables of ``part`` up to date. Returns the versions that it applied; none when all was there.

    Raises:
      DatabaseRefused: the database is newer than this program, or the migrations are not 1, 2, 3 ...
      DatabaseUnavailable: it is away; nothing was changed.
    """
    if [migration.version for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise DatabaseRefused(f"the migrations of {part} are not numbered 1, 2, 3 ...")
    if database.current.get(part) == len(migrations):
        return []
    with database.transaction() as transaction:
        _wait_for_others(transaction)
        transaction.execute(_TABLE)
        known = "SELECT MAX(version) FROM understudy_migrations WHERE part = :part"
        current = transaction.scalar(known, part=part) or 0
        if current > len(migrations):
            raise DatabaseRefused(
                f"{database.url} has version {current} of {part}, this program knows {len(migrations)}: deploy the "
                "newer program"
            )
        for migration in migrations[current:]:
            migration.apply(transaction)
            transaction.execute(
                "INSERT INTO understudy_migrations VALUES (:part, :version, :name, :at)",
                part=part,
                version=migration.version,
                name=migration.name,
                at=datetime.fromtimestamp(clock.now(), UTC).isoformat(),
            )
    database.current[part] = len(migrations)
    return [migration.version for migration in migrations[current:]]


def _wait_for_others(transaction: Transaction) -> None:
    """SQLite's writers wait for one another anyway."""
    if transaction.dialect == "postgresql":
        transaction.execute("SELECT pg_advisory_xact_lock(:key)", key=zlib.crc32(b"understudy migrations"))
