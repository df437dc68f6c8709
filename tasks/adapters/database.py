"""A database, as an actor sees it: transactions, tables, streams of rows, on SQLite and on PostgreSQL. ::

    database = open_database()                       # DATABASE_URL; or env:WAREHOUSE_URL
    with database.transaction() as transaction:
        transaction.execute("UPDATE flights SET seen = :seen", seen=True)

Everything of SQLAlchemy stays behind this door, its exceptions too: theirs quote statements and rows.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from understudy.settings import load, mask_url

from .database_errors import DatabaseRefused, translated
from .database_settings import DatabaseSettings, check_database_url
from .file_places import find

if TYPE_CHECKING:
    import sqlalchemy

#: What begins the name of an environment variable in the place of a URL.
BY_NAME = "env:"
#: Rows that a stream fetches at once.
BATCH = 1_000


def url_of(target: str | None, settings: DatabaseSettings | None = None) -> str:
    """The URL that a message means by ``target``: None is ``DATABASE_URL``, ``env:NAME`` a variable of this worker, and
    ``sqlite:///path`` a file below FILES_ROOT.

    A server is never named in full. Whoever may send a message could reach what only the worker can, and would get the
    password that is in its environment.

    Raises:
      DatabaseRefused, FileRefused: it is none of them.
    """
    if target is None:
        return (load(DatabaseSettings) if settings is None else settings).effective_url
    if target.startswith(BY_NAME):
        name = target.removeprefix(BY_NAME)
        # Not any variable: a message must not be able to ask for one that is no database.
        value = os.environ.get(name, "") if name.endswith("_URL") else ""
        if not value:
            raise DatabaseRefused(f"{target}: no such variable is set for this worker; its name ends in _URL")
        return _checked(value, target)
    if not target.strip().startswith("sqlite:"):
        raise DatabaseRefused(
            "a message names a database as sqlite:///path below FILES_ROOT, or by a variable: put the URL into one of "
            "the workers, WAREHOUSE_URL say, and name it here as env:WAREHOUSE_URL"
        )
    # A file like any other, which a message must not choose freely.
    place = find(_checked(target, "this").removeprefix("sqlite:///"))
    if not place.local:
        raise DatabaseRefused(f"{place.url} is no file of this machine, as SQLite needs one")
    return f"sqlite:///{place.path}"


def _checked(url: str, shown: str) -> str:
    try:
        return check_database_url(url)
    except ValueError as error:
        raise DatabaseRefused(f"{shown} {error}") from None


class Transaction:
    """What is done in it is done together or not at all. For the thread that began it."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self.connection = connection

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.connection.dialect.name

    def execute(self, statement: Any, rows: Sequence[Mapping[str, Any]] | None = None, **values: Any) -> int:
        """Run a statement (SQL with ``:names``, or one of SQLAlchemy's); with ``rows``, for each of them. Returns how
        many rows it changed, as far as the driver says."""
        if rows is not None and not rows:
            return 0
        done = self.connection.execute(_statement(statement), values if rows is None else list(rows))
        return max(done.rowcount, 0)

    def select(self, statement: Any, **values: Any) -> list[dict[str, Any]]:
        """All rows of a query that has few."""
        return [dict(row) for row in self.connection.execute(_statement(statement), values).mappings()]

    def scalar(self, statement: Any, **values: Any) -> Any:
        """The first field of the first row; None when there is no row."""
        return self.connection.execute(_statement(statement), values).scalar()


class Database:
    """One database, with its pool of connections. May be used by several threads; one per process and URL."""

    def __init__(self, url: str, settings: DatabaseSettings | None = None) -> None:
        from .database_engine import make_engine  # SQLAlchemy takes a while to import, and not everybody installs it

        self.url = mask_url(url)
        #: Parts whose tables are known to be up to date, with their version.
        self.current: dict[str, int] = {}
        self.engine = make_engine(url, load(DatabaseSettings) if settings is None else settings)

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction that writes; on SQLite it is the only one that does so, and others wait for it.

        Raises:
          DatabaseUnavailable: the database is away or busy; nothing was changed.
          DatabaseRefused: it does not take what it was given.
        """
        with self._translating(), self.engine.begin() as connection:
            yield Transaction(connection)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that cannot write: neither by mistake, nor by a query that came in a message."""
        with self._translating(), self.engine.connect() as connection:
            limited = connection.execution_options(understudy_reads=True, postgresql_readonly=True)
            with limited.begin():
                yield Transaction(limited)

    def stream(self, query: Any, *, batch: int = BATCH, **values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, however many, ``batch`` of them in memory. To go on later see ``tables.rows``."""
        with self.reading() as transaction:
            connection = transaction.connection.execution_options(yield_per=batch)
            with connection.execute(_statement(query), values) as result:
                for row in result.mappings():
                    yield dict(row)

    def close(self) -> None:
        """Close its connections; it may be used again."""
        self.engine.dispose()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            own = translated(error, self.url)
            if own is None:
                raise
            # What it came from quotes the statement and its rows.
            raise own from None


_databases: dict[str, Database] = {}
_lock = threading.Lock()


def open_database(target: str | None = None, settings: DatabaseSettings | None = None) -> Database:
    """The database that ``target`` means (see ``url_of``), the same object every time in one process.

    Raises:
      DatabaseRefused
    """
    url = url_of(target, settings)
    with _lock:
        if url not in _databases:
            _databases[url] = Database(url, settings)
        return _databases[url]


def close_databases() -> None:
    """Close all that were opened in this process."""
    with _lock:
        for database in _databases.values():
            database.close()
        _databases.clear()


def _statement(statement: Any) -> Any:
    import sqlalchemy

    return sqlalchemy.text(statement) if isinstance(statement, str) else statement
