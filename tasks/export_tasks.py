"""Export: a table or a query to a file.

The rows are read by their key, page by page, each in a query of its own; every page becomes a part of the file, and
the file appears under its name when all parts are there. So an export that was interrupted goes on with the next page,
one page is in memory, and nobody ever sees half of a file. Rows that change meanwhile are in it as they were when their
page was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple, TypedDict
from uuid import uuid4

from tasks.adapters import exports, tables
from tasks.adapters.arguments import check_kinds, check_names
from tasks.adapters.database import Database, open_database
from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.file_parts import Parts
from tasks.adapters.file_writers import check_sheet
from tasks.adapters.files import Kind, find, format_of
from tasks.utils.error_handlers import TRANSFER_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, clock, each
from understudy.execution import current

#: Rows of a page: what is in memory at once, and what is done again after a crash.
PAGE = 10_000


class ExportResult(TypedDict):
    """The file: how many rows and bytes it has, the SHA-256 of its bytes, and when it may be removed (seconds since
    the epoch, None for never)."""

    url: str
    rows: int
    bytes: int
    sha256: str
    expires_at: float | None


@actor(
    queue_name="export",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(hours=1),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def export_rows(
    source: str,
    target: str,
    key: Sequence[str] | None = None,
    *,
    columns: Sequence[str] | None = None,
    kinds: dict[str, Kind] | None = None,
    format: str | None = None,
    database: str | None = None,
    expires_in: float | None = 7 * 86_400.0,
) -> ExportResult:
    """Write the rows of ``source`` to ``target``.

    Args:
      source: a table, or a query (a text with a blank in it). It is run in a transaction that cannot write.
      target: a path below FILES_ROOT, or a URL of fsspec. Its ending names the format, unless ``format`` does: csv,
        jsonl, parquet or xlsx.
      key: columns that name a row and are never null; the primary key of a table when left out. Those of a query, and
        of a table without such an index, are looked through first.
      columns: what is written, in order; everything when left out.
      kinds: what columns hold, for Parquet and XLSX, where a type must not depend on the values of a page.
      database: the variable that has the URL, as ``env:WAREHOUSE_URL``; DATABASE_URL when left out.
      expires_in: seconds after which the file may be removed (``clean_up``); None for never.

    Raises:
      DatabaseRefused: no such table or column, not a query, no key, or one that is null or comes twice; nothing was
        written; not retried.
      ValueError: another argument is wrong, or a sheet of XLSX does not hold the rows; not retried.
      FileRefused, BadFile: the target may not be written, or its format is not known; not retried.
      DatabaseUnavailable, OSError: the database or the store is away; retried.
    """
    place = find(target)
    kind = format_of(place, format)
    origin, register = open_database(database), open_database()
    execution = current()
    maker = uuid4().hex if execution is None else execution.items_scope
    wanted, by, types = check_names(columns or (), field="columns"), check_names(key or (), field="key"), kinds or {}
    check_kinds(types, field="kinds")
    _check_time(expires_in)
    there = tables.check_columns(origin, source, [*wanted, *by])
    names = wanted or there
    check_names(list(types), field="kinds", known=names)
    parts = Parts(place, kind, names, maker=maker, kinds=types)
    before = exports.registered(register, maker)
    if before is not None:
        parts.remove()  # whoever registered it did not come to that
        return _result(before)
    by = by or _own_key(origin, source)
    tables.check_key(origin, source, by)
    pages = _Pages(origin, source, by)
    count = tables.count(origin, source)
    if kind == "xlsx":
        check_sheet(count)
    total = -(-count // PAGE)
    # One page is read at a time: an item is ten thousand rows.
    for page in each(cursor=pages.behind, key="number", position="last", total=total, window=1):
        parts.write(page.number, page.rows)
    published = parts.join(pages.last)
    now = clock.now()
    export = exports.Export(
        maker,
        published.url,
        published.rows,
        published.bytes,
        published.sha256,
        now,
        None if expires_in is None else now + expires_in,
    )
    exports.register(register, export)
    parts.remove()
    return _result(export)


class _Page(NamedTuple):
    number: int
    last: list[Any]
    rows: list[dict[str, Any]]


class _Pages:
    """The rows of a source in pages. A page's position is its number and the key of its last row."""

    def __init__(self, database: Database, source: str, key: Sequence[str]) -> None:
        self._database = database
        self._source = source
        self._key = key
        #: The number of the last page that was had, in this execution or an earlier one.
        self.last = 0

    def behind(self, position: list[Any] | None) -> Iterator[_Page]:
        """The pages behind a position, from the beginning when it is None."""
        number, after = (0, None) if position is None else (position[0], position[1:])
        self.last = number
        rows = tables.rows(self._database, self._source, key=self._key, after=after, batch=PAGE)
        while page := list(islice(rows, PAGE)):
            self.last = number = number + 1
            yield _Page(number, [number, *(page[-1][name] for name in self._key)], page)


def _own_key(database: Database, source: str) -> list[str]:
    query = " " in source.strip()
    found = [] if query else tables.primary_key(database, source)
    if not found:
        raise DatabaseRefused(
            f"{'the query' if query else source} has no primary key to read by; name columns that are unique and never "
            "null as key=[...]"
        )
    return found


def _check_time(expires_in: float | None) -> None:
    if expires_in is not None and not 0 <= expires_in < float("inf"):
        raise ValueError(f"expires_in is a number of seconds from 0, or None for never, not {expires_in!r}")


def _result(export: exports.Export) -> ExportResult:
    return {
        "url": export.url,
        "rows": export.rows,
        "bytes": export.bytes,
        "sha256": export.sha256,
        "expires_at": export.expires_at,
    }
