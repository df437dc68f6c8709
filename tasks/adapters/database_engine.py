"""Engines of SQLAlchemy: SQLite set up for several processes, PostgreSQL over psycopg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from .database_settings import DatabaseSettings

#: Of transactions that write, on PostgreSQL: a statement is prepared after so many uses, and so many are at most.
_PREPARED_AT, _PREPARED_MOST = 5, 100


def make_engine(url: str, settings: DatabaseSettings) -> sa.Engine:
    """An engine that connects at its first use."""
    if url.startswith("sqlite:"):
        return _sqlite(url, settings)
    # Both short forms are common, and without a driver SQLAlchemy would look for another one than is installed.
    scheme, _, rest = url.partition("://")
    driver = "postgresql+psycopg" if scheme in {"postgres", "postgresql"} else scheme
    engine = sa.create_engine(
        f"{driver}://{rest}",
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.timeout,
        # A connection that the server closed in the meantime is no failure of this transaction.
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": max(2, round(settings.timeout)), "application_name": "understudy"},
    )
    sa.event.listen(engine, "begin", _prepared_if_it_reads)
    return engine


def _prepared_if_it_reads(connection: sa.Connection) -> None:
    """A statement without values goes by a protocol that takes several at once, unless it is prepared: a query from a
    message could end the transaction that cannot write, and begin its own."""
    driver: Any = connection.connection.dbapi_connection
    reads = bool(connection.get_execution_options().get("understudy_reads"))
    driver.prepare_threshold = 0 if reads else _PREPARED_AT
    # And forgotten at once: what was prepared does not outlive a change of its table.
    driver.prepared_max = 0 if reads else _PREPARED_MOST


def _sqlite(url: str, settings: DatabaseSettings) -> sa.Engine:
    path = Path(url.removeprefix("sqlite:///"))

    def connect(connection: Any, _: Any) -> None:
        # The driver would begin transactions as it thinks best, and not before a SELECT.
        connection.isolation_level = None
        cursor = connection.cursor()
        # First, because the others may have to wait.
        cursor.execute(f"PRAGMA busy_timeout = {round(settings.timeout * 1000)}")
        # Readers do not wait for the writer.
        cursor.execute("PRAGMA journal_mode = WAL")
        # What was committed is acknowledged to the queue right after, so it must be on the disk.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        reads = bool(connection.get_execution_options().get("understudy_reads"))
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads else 'OFF'}")
        # A writer that only finds out at its first write that there is another one could not wait for it.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        poolclass=sa.pool.QueuePool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.timeout,
    )
    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "begin", begin)
    return engine
