"""Import: a file into a table.

The file is walked through once before anything is written: that it can be read, and that it has the columns. Then
chunk after chunk goes into the table, each in a transaction together with the note that it did: a chunk that is
delivered twice changes nothing. Rows that do not fit go into a quarantine file instead, with their number and why. A
file that is written anew meanwhile ends the import: a table of some rows of the one and some of the other is neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, TypedDict
from uuid import uuid4

from tasks.adapters import tables
from tasks.adapters.arguments import check_kinds, check_names, check_share, part_of
from tasks.adapters.database import Database, Transaction, open_database
from tasks.adapters.file_parts import Parts
from tasks.adapters.file_writers import as_text
from tasks.adapters.files import BadFile, Chunk, Kind, Options, Place, Reader, find, open_rows
from tasks.adapters.row_types import RowTypes
from tasks.utils.error_handlers import TRANSFER_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, each
from understudy.errors import ItemsChanged
from understudy.execution import current
from understudy.options import did_you_mean

#: Rows of a chunk: what is in memory, and in a transaction, at once.
CHUNK = 5_000
#: Under which number the result is noted, with the notes of the chunks.
SUMMARY = -1
#: The columns of a quarantine file before those of the import, and behind them: fields for which there is no column.
ROW, REASONS, SURPLUS = "row", "reasons", "surplus"


class TooManyBadRows(ValueError):
    """More rows do not fit than ``max_bad`` allows. What was loaded stays; to load it again changes nothing."""


class ImportResult(TypedDict):
    """What became of the rows, and how the file was read (format, encoding, delimiter)."""

    rows: int
    loaded: int
    bad: int
    quarantine: str | None
    ignored_columns: list[str]
    dry_run: bool
    options: Options


@actor(
    queue_name="import",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(hours=1),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def import_file(
    source: str,
    table: str,
    columns: dict[str, Kind],
    key: Sequence[str],
    *,
    required: Sequence[str] = (),
    max_bad: float = 0.05,
    dry_run: bool = False,
    formulas: bool = False,
    quarantine: str | None = None,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    database: str | None = None,
) -> ImportResult:
    """Load the rows of ``source`` into ``table``; a row whose key is there already takes its place.

    Args:
      source: a path below FILES_ROOT, or a URL of fsspec: CSV, JSON Lines, Parquet or XLSX.
      table: made if it is not there.
      columns: those that are loaded, and what they hold: integer, number, text, boolean, date or datetime.
      key: those of them by which a row is found again; they must not be empty, nor those of ``required``.
      max_bad: which part of the rows (from 0 to 1) may not fit; with more the import fails.
      dry_run: look at every row, and write nothing but the quarantine file: the database is not touched.
      formulas: let texts in that a spreadsheet would run; otherwise such a row does not fit.
      quarantine: where rows go that do not fit (CSV), in the place of a file of that name; one of its own in
        ``quarantine/`` below FILES_ROOT when left out.
      format, encoding, delimiter, sheet: found out when left out.
      database: the variable that has the URL, as ``env:WAREHOUSE_URL``; DATABASE_URL when left out.

    Raises:
      ValueError: an argument is wrong; nothing was written; not retried.
      BadFile: it cannot be read, or lacks a column, and nothing was written; or it was changed since the import began,
        and what was loaded stays; not retried.
      FileRefused, FileNotFoundError, DatabaseRefused: not retried.
      TooManyBadRows: not retried.
      DatabaseUnavailable, OSError: the database or the store is away; retried.
    """
    execution = current()
    maker = uuid4().hex if execution is None else execution.items_scope
    scope = f"import {maker}"[:200]
    goal = _goal(table, columns, key, required)
    check_share(max_bad, field="max_bad")
    target = open_database(database)
    place, rejects = find(source), _rejects(source, quarantine, columns, maker)
    noted = {} if dry_run else tables.applied(target, scope)
    if SUMMARY in noted:
        rejects.remove()  # whoever noted it did not come to that
        done: ImportResult = noted[SUMMARY]
        return done
    mark = _same(place, place.mark(), *noted.values())
    with open_rows(source, format=format, encoding=encoding, delimiter=delimiter, sheet=sheet) as reader:
        _check_header(source, reader, columns)
        rows = _Rows(reader, RowTypes(columns, required={*key, *required}, formulas=formulas), rejects)
        chunks = list(reader.chunks(CHUNK))
        if not dry_run:
            tables.ensure(target, goal)
        try:
            for chunk in each(chunks, key=lambda chunk: f"{chunk['index']} {mark}", ordered=True):
                good = rows.sort(chunk)
                _same(place, place.mark(), mark)  # before it is believed what was read
                if not dry_run:
                    # Another execution, which is given up and does not know it, may have loaded it of another file.
                    _same(place, mark, _load(target, goal, good, scope=scope, number=chunk["index"], mark=mark))
        except ItemsChanged:
            raise _changed(place) from None
        if dry_run:
            # Nothing is noted of it: whoever goes on may find the parts gone, and looks at their rows again.
            for number in rejects.missing(len(chunks)):
                rows.sort(chunks[number - 1])
            _same(place, place.mark(), mark)
        rejects.check(len(chunks))
        total, bad = sum(chunk["rows"] for chunk in chunks), rejects.rows
        url = rejects.join(len(chunks)).url if bad else None
        if bad > part_of(max_bad, total):
            raise TooManyBadRows(
                f"{bad:,} of {total:,} rows do not fit, more than max_bad={max_bad:g} allows: see {url}"
            )
        result: ImportResult = {
            "rows": total,
            "loaded": 0 if dry_run else total - bad,
            "bad": bad,
            "quarantine": url,
            "ignored_columns": [name for name in reader.columns if name not in columns],
            "dry_run": dry_run,
            "options": reader.options,
        }
    if not dry_run:
        result = tables.apply_once(target, scope=scope, number=SUMMARY, work=lambda _: result).outcome
    rejects.remove()
    return result


class _Rows:
    """The rows of a file, sorted into those that fit and the others."""

    def __init__(self, reader: Reader, types: RowTypes, rejects: Parts) -> None:
        self._reader = reader
        self._types = types
        self._rejects = rejects
        self._own = _own_columns(types.names)

    def sort(self, chunk: Chunk) -> list[dict[str, Any]]:
        """The rows of a chunk that fit; the others go into quarantine."""
        good, bad = [], []
        for row in self._reader.read(chunk):
            values, problems = self._types.read(row.values) if row.problem is None else ({}, [row.problem])
            if problems:
                surplus = as_text(row.surplus) if row.surplus else None
                told = {ROW: row.number, REASONS: "; ".join(problems), SURPLUS: surplus}
                bad.append(row.values | {self._own[name]: value for name, value in told.items()})
            else:
                good.append(values)
        self._rejects.write(chunk["index"] + 1, bad)
        return good


def _load(
    database: Database, table: tables.Table, rows: list[dict[str, Any]], *, scope: str, number: int, mark: str
) -> Any:
    """Load a chunk, once; the mark of the file that it was loaded of."""

    def work(transaction: Transaction) -> str:
        tables.upsert(transaction, table, rows)
        return mark

    return tables.apply_once(database, scope=scope, number=number, work=work).outcome


def _same(place: Place, mark: str, *others: Any) -> str:
    """The mark of a file, if it is that of all the others."""
    if any(other != mark for other in others):
        raise _changed(place)
    return mark


def _changed(place: Place) -> BadFile:
    return BadFile(
        f"{place.url} was changed since this import began; what was loaded of it stays: send a new message to load it "
        "as it is now"
    )


def _check_header(source: str, reader: Reader, columns: dict[str, Kind]) -> None:
    if reader.total == 0 and not reader.columns:
        return  # a file without rows, of a format that has names only with them
    for name in columns:
        if name not in reader.columns:
            hint = did_you_mean(name, reader.columns)
            raise BadFile(f"{source} has no column {name!r}{hint}; nothing was written")


def _goal(table: str, columns: dict[str, Kind], key: Sequence[str], required: Sequence[str]) -> tables.Table:
    check_kinds(columns, field="columns")
    needed = check_names(required, field="required", known=columns)
    typed = {name: tables.Column(kind, required=name in needed) for name, kind in columns.items()}
    return tables.Table(table, typed, tuple(check_names(key, field="key")))


def _rejects(source: str, quarantine: str | None, columns: dict[str, Kind], maker: str) -> Parts:
    # Two imports of files of one name, at once or one after the other, each have theirs.
    token = hashlib.sha256(maker.encode()).hexdigest()[:16]
    place = find(quarantine or f"quarantine/{PurePosixPath(source).name}.{token}.csv")
    own = _own_columns(columns)
    return Parts(place, "csv", [own[ROW], own[REASONS], *columns, own[SURPLUS]], maker=maker)


def _own_columns(columns: Collection[str]) -> dict[str, str]:
    """What the columns of a quarantine file are called that the import has not: as those of it are not."""
    own = {}
    for name in (ROW, REASONS, SURPLUS):
        own[name] = name
        while own[name] in columns:
            own[name] = f"_{own[name]}"
    return own
