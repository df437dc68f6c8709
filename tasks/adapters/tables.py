"""Tables, as an actor sees them: made when they are missing, filled by upsert, read by key, each chunk applied once. ::

flights = Table("flights", {"id": Column("integer"), "carrier": Column("text")}, key=("id",))
ensure(database, flights)
apply_once(database, scope=run, number=chunk, work=lambda transaction: upsert(transaction, flights, rows))
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from understudy import clock

from .database import BATCH, Database, Transaction
from .database_errors import DatabaseRefused
from .kinds import Kind
from .migrations import Migration, migrate

if TYPE_CHECKING:
    import sqlalchemy

#: PostgreSQL cuts longer names, and then two may be one.
LONGEST_NAME = 63
#: What the tables begin with in which Understudy remembers its own things.
OWN = "understudy_"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_LEDGER = (
    Migration(
        1,
        "ledger",
        """
        CREATE TABLE understudy_ledger (
            scope VARCHAR(200) NOT NULL,
            number BIGINT NOT NULL,
            outcome TEXT NOT NULL,
            applied_at VARCHAR(40) NOT NULL,
            PRIMARY KEY (scope, number)
        )
        """,
    ),
)


@dataclass(frozen=True)
class Column:
    """What a column holds, and whether every row must have it."""

    kind: Kind
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table to load into: its columns in order, and those that make a row the same row.

    Raises:
      DatabaseRefused: a name that not every database takes, or one of Understudy's own; a key that is no column.
    """

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in (self.name, *self.columns):
            check_name(name)
        if self.name.lower().startswith(OWN):
            # Whoever may send a message could have chunks passed over, or exports removed.
            raise DatabaseRefused(
                f"{self.name!r} is a table of Understudy's own, as all are whose names begin with {OWN}"
            )
        if not self.key or (unknown := [name for name in self.key if name not in self.columns]):
            raise DatabaseRefused(
                f"the key of {self.name} is {', '.join(self.key) or 'empty'}"
                + (f"; there is no column {unknown[0]!r}{_meant(unknown[0], self.columns)}" if self.key else "")
            )


@dataclass(frozen=True)
class Applied:
    """What became of a piece of work: its outcome, and whether it was this time that it was done."""

    outcome: Any
    fresh: bool


def check_name(name: str) -> str:
    """``name`` if it can be that of a table or column everywhere.

    Raises:
      DatabaseRefused: it cannot.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME or name.lower().startswith("sqlite_"):
        raise DatabaseRefused(
            f"{name[:100]!r} cannot be the name of a table or column: letters, digits and '_', at most {LONGEST_NAME}"
        )
    return name


def ensure(database: Database, table: Table) -> bool:
    """Make the table if there is none, else see that it has these columns. Returns whether it was made.

    Raises:
      DatabaseRefused: it is there and lacks a column, or has no such key.
    """
    import sqlalchemy as sa

    with database.transaction() as transaction:
        if transaction.dialect == "postgresql":
            # Two that make the same table at once: "if not exists" is no guard against that.
            transaction.execute("SELECT pg_advisory_xact_lock(hashtext(:name))", name=table.name)
        inspector = sa.inspect(transaction.connection)
        if not inspector.has_table(table.name):
            _of(table).create(transaction.connection)
            return True
        there = {str(column["name"]) for column in inspector.get_columns(table.name)}
        if missing := [name for name in table.columns if name not in there]:
            raise DatabaseRefused(
                f"the table {table.name} has no column {missing[0]!r}{_meant(missing[0], there)}; it is left as it is"
            )
        if set(table.key) not in _unique(inspector, table.name):
            raise DatabaseRefused(
                f"the table {table.name} has no primary key or unique index on {', '.join(table.key)}, by which a row "
                "would be found again; it is left as it is"
            )
    return False


def upsert(transaction: Transaction, table: Table, rows: Iterable[Mapping[str, Any]]) -> int:
    """Insert rows, and replace those whose key is there already. Of two with the same key the later one stays.

    ``rows`` may be a stream: a thousand are held. Returns how many there were.
    """
    statement = _upsert(transaction.dialect, table)
    names, count, stream = list(table.columns), 0, iter(rows)
    while part := [{name: _stored(row.get(name)) for name in names} for row in islice(stream, BATCH)]:
        transaction.execute(statement, part)
        count += len(part)
    return count


def apply_once(database: Database, *, scope: str, number: int, work: Callable[[Transaction], Any]) -> Applied:
    """Do ``work`` in one transaction, together with the note that it was done; if the note is there, do nothing.

    So a chunk that is delivered twice, or by two workers at once, changes the database once, and both get the outcome
    (plain JSON) of the one that did it.
    """
    migrate(database, "ledger", _LEDGER)
    with database.transaction() as transaction:
        # Whoever comes second waits here for the first one's commit.
        taken = transaction.execute(
            "INSERT INTO understudy_ledger VALUES (:scope, :number, '', :at) ON CONFLICT DO NOTHING",
            scope=scope,
            number=number,
            at=datetime.fromtimestamp(clock.now(), UTC).isoformat(),
        )
        if not taken:
            found = "SELECT outcome FROM understudy_ledger WHERE scope = :scope AND number = :number"
            return Applied(json.loads(transaction.scalar(found, scope=scope, number=number)), fresh=False)
        outcome = work(transaction)
        noted = "UPDATE understudy_ledger SET outcome = :outcome WHERE scope = :scope AND number = :number"
        transaction.execute(noted, outcome=json.dumps(outcome), scope=scope, number=number)
    return Applied(outcome, fresh=True)


def applied(database: Database, scope: str) -> dict[int, Any]:
    """The outcomes of what was applied of ``scope``, by number."""
    migrate(database, "ledger", _LEDGER)
    with database.reading() as transaction:
        found = "SELECT number, outcome FROM understudy_ledger WHERE scope = :scope ORDER BY number"
        return {row["number"]: json.loads(row["outcome"]) for row in transaction.select(found, scope=scope)}


def applied_behind(transaction: Transaction, scope: str, number: int) -> list[int]:
    """What was applied of ``scope`` with a higher number; until the end of the transaction nobody applies any of it.

    For work whose order matters: called within ``apply_once``, by everybody who applies of this scope.
    """
    if transaction.dialect == "postgresql":  # SQLite has one writer at a time
        transaction.execute("SELECT pg_advisory_xact_lock(hashtext(:scope))", scope=scope)
    found = "SELECT number FROM understudy_ledger WHERE scope = :scope AND number > :number ORDER BY number"
    return [row["number"] for row in transaction.select(found, scope=scope, number=number)]


def forget(database: Database, scope: str) -> int:
    """Remove the notes of ``scope``: what was applied can be applied again. Returns how many there were."""
    migrate(database, "ledger", _LEDGER)
    with database.transaction() as transaction:
        return transaction.execute("DELETE FROM understudy_ledger WHERE scope = :scope", scope=scope)


def forget_before(database: Database, moment: datetime, *, dry_run: bool = False) -> int:
    """Remove the notes of what was applied before a moment: it can be applied again. Returns how many there were."""
    migrate(database, "ledger", _LEDGER)
    at = moment.astimezone(UTC).isoformat()
    with database.transaction() as transaction:
        if dry_run:
            return int(transaction.scalar("SELECT COUNT(*) FROM understudy_ledger WHERE applied_at < :at", at=at))
        return transaction.execute("DELETE FROM understudy_ledger WHERE applied_at < :at", at=at)


def rows(
    database: Database,
    source: str,
    *,
    key: Sequence[str],
    after: Sequence[Any] | None = None,
    batch: int = BATCH,
) -> Iterator[dict[str, Any]]:
    """The rows of a table, or of a query (a text with a space), in the order of ``key``, from behind one key on.

    Each ``batch`` is a query of its own, so that no transaction stays open and reading goes on anywhere, in any
    process: ``after`` is the key of the last row that was had. ``key`` must be unique and not null.
    """
    import sqlalchemy as sa

    names = [check_name(name) for name in key]
    place = _place(source, names)
    columns = [place.c[name] for name in names]
    query = sa.select(sa.text("*")).select_from(place).order_by(*columns).limit(batch)
    last = None if after is None else list(after)
    while True:
        part = query if last is None else query.where(_behind(columns, last))
        with database.reading() as transaction:
            found = transaction.select(part)
        yield from found
        if len(found) < batch:
            return
        last = [found[-1][name] for name in names]


def columns_of(database: Database, source: str) -> list[str]:
    """The columns of a table or query, in order."""
    import sqlalchemy as sa

    with database.reading() as transaction:
        return list(transaction.connection.execute(sa.select(sa.text("*")).select_from(_place(source)).limit(0)).keys())


def primary_key(database: Database, table: str) -> list[str]:
    """The columns of the primary key of a table; none when it has no such key, or there is no such table."""
    import sqlalchemy as sa

    with database.reading() as transaction:
        inspector = sa.inspect(transaction.connection)
        return list(inspector.get_pk_constraint(table)["constrained_columns"]) if inspector.has_table(table) else []


def check_columns(database: Database, source: str, names: Iterable[str]) -> list[str]:
    """See that a table or query has these columns; returns all that it has, in order.

    Raises:
      DatabaseRefused: one is not there, or the query has two of one name.
    """
    there = columns_of(database, source)
    if twice := [name for name in there if there.count(name) > 1]:
        raise DatabaseRefused(f"{_shown(source)} has two columns {twice[0]!r}; name one of them otherwise, with AS")
    if absent := [name for name in names if name not in there]:
        raise DatabaseRefused(
            f"{_shown(source)} has no column {absent[0]!r}{_meant(absent[0], there)}; it has {', '.join(there)}"
        )
    return there


def check_key(database: Database, source: str, key: Sequence[str]) -> None:
    """See that a table or query can be read by these columns of it: that each row has a key, and one of its own.

    Raises:
      DatabaseRefused: a row has none, or two have the same. Reading on behind a key would leave rows out.
    """
    import sqlalchemy as sa

    place = _place(source, [check_name(name) for name in key])
    columns = [place.c[name] for name in key]
    with database.reading() as transaction:
        for column in columns:
            # Asked for also of a primary key: SQLite lets one be null.
            if transaction.select(sa.select(sa.literal(1)).select_from(place).where(column.is_(None)).limit(1)):
                raise DatabaseRefused(
                    f"{_shown(source)} has rows whose {column.name!r} is null, and cannot be read by it; name columns "
                    "that are unique and never null as key=[...], or leave these rows out"
                )
        if not _is_query(source):
            known = _unique(sa.inspect(transaction.connection), source)
            if any(unique and unique <= set(key) for unique in known):
                return
        alike = sa.select(*columns).group_by(*columns).having(sa.func.count() > 1).limit(1)
        if transaction.select(alike):
            raise DatabaseRefused(
                f"{_shown(source)} has rows with the same {', '.join(key)}, and cannot be read by it; name columns "
                "that are unique together as key=[...]"
            )


def count(database: Database, source: str) -> int:
    """How many rows a table or query has."""
    import sqlalchemy as sa

    with database.reading() as transaction:
        return int(transaction.scalar(sa.select(sa.func.count()).select_from(_place(source))))


def _place(source: str, names: Sequence[str] = ()) -> Any:
    """What a table or query is in a statement. ``names`` are those of its columns that are spoken of."""
    import sqlalchemy as sa

    columns: list[Any] = [sa.column(name) for name in names]
    if _is_query(source):
        return sa.text(source).columns(*columns).subquery("q")
    # Always quoted: a table may be called "order".
    return sa.table(sa.sql.quoted_name(check_name(source), True), *columns)


def _is_query(source: str) -> bool:
    return " " in source.strip()


def _shown(source: str) -> str:
    # A query may hold values that belong into no log.
    return "the query" if _is_query(source) else source


def _unique(inspector: sqlalchemy.Inspector, table: str) -> list[set[Any]]:
    """The columns, or groups of them, that no two rows of a table have alike (unless they are null)."""
    found: list[set[Any]] = [set(inspector.get_pk_constraint(table)["constrained_columns"])]
    found += [set(unique["column_names"]) for unique in inspector.get_unique_constraints(table)]
    for index in inspector.get_indexes(table):
        # An index of some of the rows says nothing of the others, and one of an expression nothing of columns.
        partial = any(name.endswith("_where") for name in index.get("dialect_options", {}))
        if index["unique"] and not partial and None not in index["column_names"]:
            found.append(set(index["column_names"]))
    return found


def _stored(value: Any) -> Any:
    """A time with a zone is stored in UTC: a database would leave the zone out, or turn it into that of its session."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _behind(columns: list[Any], last: list[Any]) -> Any:
    import sqlalchemy as sa

    if len(columns) == 1:
        return columns[0] > last[0]
    return sa.tuple_(*columns) > sa.tuple_(*(sa.literal(value) for value in last))


def _of(table: Table) -> sqlalchemy.Table:
    import sqlalchemy as sa

    types: dict[Kind, Any] = {
        "integer": sa.BigInteger,
        "number": sa.Double,
        "text": sa.Text,
        "boolean": sa.Boolean,
        "date": sa.Date,
        "datetime": sa.DateTime,
    }
    columns = [
        sa.Column(
            name,
            types[column.kind],
            primary_key=name in table.key,
            nullable=not (column.required or name in table.key),
            autoincrement=False,
        )
        for name, column in table.columns.items()
    ]
    return sa.Table(table.name, sa.MetaData(), *columns)


def _upsert(dialect: str, table: Table) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(_of(table))
    rest = {name: statement.excluded[name] for name in table.columns if name not in table.key}
    if not rest:
        return statement.on_conflict_do_nothing(index_elements=list(table.key))
    return statement.on_conflict_do_update(index_elements=list(table.key), set_=rest)


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
