"""Import: a file into a table.

The file is walked through once before anything is written: that it can be read, and that it has the columns. Then
chunk after chunk goes into the table, each in a transaction together with the note that it did: a chunk that is
delivered twice changes nothing. Rows that do not fit go into a quarantine file instead, with their number and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, TypedDict
from uuid import uuid4

from tasks.adapters import tables
from tasks.adapters.database import Database, Transaction, open_database
from tasks.adapters.file_parts import Parts
from tasks.adapters.files import BadFile, Chunk, Kind, Options, Reader, find, open_rows
from tasks.adapters.row_types import RowTypes
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, each
from understudy.execution import current
from understudy.options import did_you_mean

#: Rows of a chunk: what is in memory, and in a transaction, at once.
CHUNK = 5_000
#: Under which number the result is noted, with the notes of the chunks.
SUMMARY = -1
#: What a quarantine file begins with; the columns of the import follow.
ROW, REASONS = "row", "reasons"


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
      dry_run: look at every row, and write nothing but the quarantine file.
      formulas: let texts in that a spreadsheet would run; otherwise such a row does not fit.
      quarantine: where rows go that do not fit (CSV); ``quarantine/`` below FILES_ROOT when left out.
      format, encoding, delimiter, sheet: found out when left out.
      database: the variable that has the URL, as ``env:WAREHOUSE_URL``; DATABASE_URL when left out.

    Raises:
      BadFile: it cannot be read, or lacks a column; nothing was written; not retried.
      FileRefused, FileNotFoundError, DatabaseRefused: not retried.
      TooManyBadRows: not retried.
      DatabaseUnavailable, OSError: the database or the store is away; retried.
    """
    execution = current()
    maker = uuid4().hex if execution is None else execution.items_scope
    scope = f"import {maker}"[:200]
    target = open_database(database)
    rejects = _rejects(source, quarantine, columns, maker)
    done: ImportResult | None = tables.applied(target, scope).get(SUMMARY)
    if done is not None:
        rejects.remove()  # whoever noted it did not come to that
        return done
    with open_rows(source, format=format, encoding=encoding, delimiter=delimiter, sheet=sheet) as reader:
        _check_header(source, reader, columns)
        rows = _Rows(reader, RowTypes(columns, required={*key, *required}, formulas=formulas), rejects)
        goal = tables.Table(table, _typed(columns, required), tuple(key))
        chunks = list(reader.chunks(CHUNK))
        if not dry_run:
            tables.ensure(target, goal)
        for chunk in each(chunks, key=_number_of, ordered=True):
            good = rows.sort(chunk)
            if not dry_run:
                _load(target, goal, good, scope=scope, number=chunk["index"])
        rejects.check(len(chunks))
        total, bad = sum(chunk["rows"] for chunk in chunks), rejects.rows
        url = rejects.join(len(chunks)).url if bad else None
        if bad > max_bad * total:
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
    noted: ImportResult = tables.apply_once(target, scope=scope, number=SUMMARY, work=lambda _: result).outcome
    rejects.remove()
    return noted


class _Rows:
    """The rows of a file, sorted into those that fit and the others."""

    def __init__(self, reader: Reader, types: RowTypes, rejects: Parts) -> None:
        self._reader = reader
        self._types = types
        self._rejects = rejects

    def sort(self, chunk: Chunk) -> list[dict[str, Any]]:
        """The rows of a chunk that fit; the others go into quarantine."""
        good, bad = [], []
        for row in self._reader.read(chunk):
            values, problems = self._types.read(row.values) if row.problem is None else ({}, [row.problem])
            if problems:
                bad.append({**row.values, ROW: row.number, REASONS: "; ".join(problems)})
            else:
                good.append(values)
        self._rejects.write(chunk["index"] + 1, bad)
        return good


def _load(database: Database, table: tables.Table, rows: list[dict[str, Any]], *, scope: str, number: int) -> None:
    def work(transaction: Transaction) -> int:
        return tables.upsert(transaction, table, rows)

    tables.apply_once(database, scope=scope, number=number, work=work)


def _check_header(source: str, reader: Reader, columns: dict[str, Kind]) -> None:
    for name in columns:
        if name not in reader.columns:
            hint = did_you_mean(name, reader.columns)
            raise BadFile(f"{source} has no column {name!r}{hint}; nothing was written")


def _typed(columns: dict[str, Kind], required: Sequence[str]) -> dict[str, tables.Column]:
    return {name: tables.Column(kind, required=name in required) for name, kind in columns.items()}


def _rejects(source: str, quarantine: str | None, columns: dict[str, Kind], maker: str) -> Parts:
    place = find(quarantine or f"quarantine/{PurePosixPath(source).name}.csv")
    return Parts(place, "csv", [ROW, REASONS, *(name for name in columns if name not in (ROW, REASONS))], maker=maker)


def _number_of(chunk: Chunk) -> int:
    return chunk["index"]
