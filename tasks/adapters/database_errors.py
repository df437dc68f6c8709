"""What goes wrong with a database, sorted, and without the rows and statements that the drivers quote.

::

    DatabaseError
    |-- DatabaseUnavailable     away, busy, a deadlock: may pass
    `-- DatabaseRefused         it does not take this: final (also a ValueError)
"""

from __future__ import annotations

from typing import Any


class DatabaseError(Exception):
    """Base of both."""


class DatabaseUnavailable(DatabaseError):
    """The database is away, busy, or had to choose a victim. Nothing was changed; it may work later."""


class DatabaseRefused(DatabaseError, ValueError):
    """The database does not take what it was given, or may not be asked."""


#: Of PostgreSQL: no connection, a deadlock or conflict, too little of something, being stopped.
_PASSING = ("08", "40", "53", "57", "55")


def database_may_work_later(exception: BaseException) -> bool:
    """Whether the same may work when it is tried again."""
    return isinstance(exception, DatabaseUnavailable)


def translated(error: Exception, url: str) -> DatabaseError | None:
    """``error`` in our words if it is one of SQLAlchemy or a driver; None otherwise."""
    from sqlalchemy import exc

    if isinstance(error, exc.DBAPIError):
        origin: Any = error.orig
        state = getattr(origin, "sqlstate", None)
        # The lines after the first have the values that were in the way.
        said = f"{url}: {str(origin).splitlines()[0] if str(origin) else type(origin).__name__}"
        if error.connection_invalidated or (state[:2] in _PASSING if state else _passes(error, said)):
            return DatabaseUnavailable(said)
        return DatabaseRefused(said)
    if isinstance(error, exc.TimeoutError):
        return DatabaseUnavailable(f"{url}: no connection became free in time (DATABASE_POOL_SIZE, DATABASE_TIMEOUT)")
    if isinstance(error, exc.SQLAlchemyError):
        return DatabaseRefused(f"{url}: {str(error).splitlines()[0]}")
    return None


def _passes(error: Any, said: str) -> bool:
    """Without a state: of SQLite, or PostgreSQL was not reached at all."""
    from sqlalchemy import exc

    final = ("no such", "unable to open", "readonly", "syntax error", "not a database", "malformed", "does not exist")
    return isinstance(error, exc.OperationalError | exc.InterfaceError) and not any(word in said for word in final)
