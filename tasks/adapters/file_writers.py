"""Writing files: streamed into a file beside the final one (or on this machine's disk), then moved to its name.

A reader finds the whole file or none. What a writer that was killed leaves behind is called ``.name.token.part``, or
``.name.token.parts`` where it is a directory.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from .file_places import Place
from .kinds import Kind

if TYPE_CHECKING:
    import polars

#: Rows of a part of a Parquet file: so many are held at once.
PART = 20_000
#: What a sheet can hold, with its header; and a cell of one.
SHEET = 1_048_576
LONGEST_TEXT = 32_767
#: From here on not every whole number is one of a sheet, which knows only those with a point.
_EXACT = 2**53
#: Before this day sheets count wrongly: they take 1900 for a leap year, and know no earlier one.
_FIRST_DAY = date(1900, 3, 1)
_BUFFER = 1 << 20
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?%?")


@dataclass(frozen=True)
class Published:
    """A file under its final name: how many rows and bytes it has, and the SHA-256 of its bytes in hex."""

    url: str
    rows: int
    bytes: int
    sha256: str


def is_formula(value: object) -> bool:
    """Whether a spreadsheet might take this text for a formula and run it."""
    return isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and _NUMBER.fullmatch(value) is None


class Publisher(ABC):
    """Makes a file that appears when the block ends well, and not at all when it raises."""

    published: Published

    def __init__(self, place: Place) -> None:
        self.rows = 0
        self._place = place
        token = secrets.token_hex(8)
        name = f".{Path(place.path).name}.{token}.part"
        self._hidden = place.beside(name) if not place.local else None
        if place.local:
            Path(place.path).parent.mkdir(parents=True, exist_ok=True)
            self._path = Path(place.path).with_name(name)
        else:
            # Called as ``sweeping`` knows it.
            self._path = Path(tempfile.gettempdir(), f"understudy-{token}.part")

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if exc is None:
                self._end()
                self._publish()
            else:
                self._abandon()
        finally:
            self._path.unlink(missing_ok=True)

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _end(self) -> None:
        """Everything is in ``_path``."""

    def _abandon(self) -> None:
        self._end()

    def _publish(self) -> None:
        digest = hashlib.sha256()
        with self._path.open("rb") as written:
            while part := written.read(_BUFFER):
                digest.update(part)
            size = written.tell()
            os.fsync(written.fileno())
        if self._hidden is None:
            os.replace(self._path, self._place.path)
            _sync_directory(Path(self._place.path).parent)
        else:
            self._upload(self._hidden)
        self.published = Published(self._place.url, self.rows, size, digest.hexdigest())

    def _upload(self, hidden: Place) -> None:
        system = hidden.system()
        try:
            with self._path.open("rb") as source, system.open(hidden.path, "wb") as target:
                shutil.copyfileobj(source, target, _BUFFER)
            system.mv(hidden.path, self._place.path)
        except BaseException:
            hidden.remove()
            raise


class Writer(Publisher):
    """Writes rows. ::

        with open_writer("exports/flights.csv", ["year", "month"]) as writer:
            writer.write(rows)
        writer.published.sha256

    ``columns`` are written in this order; what else a row has is left out, what it lacks is empty.
    """

    def __init__(self, place: Place, columns: Sequence[str]) -> None:
        super().__init__(place)
        self._columns = list(columns)

    @abstractmethod
    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows."""


def csv_header(columns: Sequence[str], *, escape: bool = True) -> bytes:
    """The first line of a CSV file."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow([f"'{name}" if escape and is_formula(name) else name for name in columns])
    return line.getvalue().encode()


class CsvWriter(Writer):
    """Writes CSV in UTF-8, lists and objects as JSON. With ``escape`` a text that a spreadsheet would run as a formula
    gets a ``'`` before it."""

    def __init__(self, place: Place, columns: Sequence[str], *, escape: bool = True) -> None:
        super().__init__(place, columns)
        self._escape = escape

    def _begin(self) -> None:
        self._path.write_bytes(csv_header(self._columns, escape=self._escape))
        self._file = self._path.open("a", encoding="utf-8", newline="", buffering=_BUFFER)
        self._csv = csv.writer(self._file)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._csv.writerow([self._text(row.get(name)) for name in self._columns])
            self.rows += 1

    def _text(self, value: object) -> object:
        if self._escape and is_formula(value):
            return f"'{value}"
        if isinstance(value, bool):
            return str(value).lower()
        return _plain(value)

    def _end(self) -> None:
        self._file.close()


class JsonLinesWriter(Writer):
    """Writes an object per line."""

    def _begin(self) -> None:
        self._file = self._path.open("wb", buffering=_BUFFER)
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._file.write(self._encoder.encode({name: row.get(name) for name in self._columns}) + b"\n")
            self.rows += 1

    def _end(self) -> None:
        self._file.close()


def check_sheet(rows: int) -> None:
    """See that a sheet of XLSX holds so many rows.

    Raises:
      ValueError: it does not.
    """
    if rows >= SHEET:  # with the header
        raise ValueError(f"a sheet of XLSX holds {SHEET:,} rows; write CSV, JSON Lines or Parquet")


def check_cell(value: object, *, row: int, column: str) -> None:
    """See that a cell of XLSX holds ``value``.

    Raises:
      ValueError: it is a text that the cell would cut; names its row and column.
    """
    text = _plain(value)
    if isinstance(text, str) and len(text) > LONGEST_TEXT:
        raise ValueError(
            f"row {row:,}, column {column!r}: a cell of XLSX holds {LONGEST_TEXT:,} characters, not {len(text):,}; "
            "write CSV, JSON Lines or Parquet"
        )


class XlsxWriter(Writer):
    """Writes one sheet, row by row. Texts stay texts: none becomes a formula or a link. What a sheet cannot hold as it
    is becomes text: whole numbers from 2**53 on, and days before March 1900. Times with a zone become UTC.

    Raises:
      ValueError: more rows or columns than a sheet has, or a text longer than a cell takes; nothing is published.
    """

    def _begin(self) -> None:
        import xlsxwriter

        self._book = xlsxwriter.Workbook(
            self._path,
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "nan_inf_to_errors": True,
                "default_date_format": "yyyy-mm-dd hh:mm:ss",
                "remove_timezone": True,
            },
        )
        self._sheet = self._book.add_worksheet()
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd"})
        try:
            for column, name in enumerate(self._columns):
                self._cell(column, name)
        except BaseException:
            self._book.close()
            raise

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            check_sheet(self.rows + 1)
            self.rows += 1
            for column, name in enumerate(self._columns):
                self._cell(column, row.get(name))

    def _cell(self, column: int, value: object) -> None:
        if value is None:
            return
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        day = value.date() if isinstance(value, datetime) else value
        if isinstance(value, date) and isinstance(day, date) and day >= _FIRST_DAY:
            style = self._date if day is value else None
            written = self._sheet.write_datetime(self.rows, column, value, style)
        elif isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _EXACT):
            written = self._sheet.write(self.rows, column, value)
        else:
            check_cell(value, row=self.rows, column=self._columns[column])
            written = self._sheet.write_string(self.rows, column, str(_plain(value)))
        if written:
            raise ValueError(
                f"a sheet of XLSX has no place for column {column + 1:,}, {self._columns[column]!r}; write CSV, JSON "
                "Lines or Parquet"
            )

    def _end(self) -> None:
        self._book.close()


class ParquetWriter(Writer):
    """Writes Parquet: parts on the disk first, joined when all are there, so that memory stays bounded.

    The types of columns are those that ``kinds`` names, and of others what the values are.
    """

    def __init__(self, place: Place, columns: Sequence[str], *, kinds: Mapping[str, Kind] | None = None) -> None:
        super().__init__(place, columns)
        self._kinds = {} if kinds is None else kinds

    def _begin(self) -> None:
        # Called like what other writers leave behind, so that it is swept like that.
        self._directory = self._path.with_suffix(".parts")
        self._directory.mkdir()
        self._parts: list[Path] = []
        self._held: list[list[Any]] = []

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._held.append([self._value(name, row.get(name)) for name in self._columns])
            self.rows += 1
            if len(self._held) >= PART:
                self._spill()

    def _value(self, name: str, value: Any) -> Any:
        return as_text(value) if isinstance(value, dict | list) and self._kinds.get(name) == "text" else value

    def write_frame(self, frame: polars.DataFrame) -> None:
        """Add the rows of a frame with these columns."""
        path = Path(self._directory, f"{len(self._parts):06}.parquet")
        frame.write_parquet(path)
        self._parts.append(path)
        self.rows += frame.height

    def _spill(self) -> None:
        held, self._held = self._held, []
        self.rows -= len(held)  # counted as they came
        self.write_frame(self._frame(held))

    def _frame(self, rows: list[list[Any]]) -> polars.DataFrame:
        import polars as pl

        schema = {name: dtype(self._kinds[name]) if name in self._kinds else None for name in self._columns}
        return pl.DataFrame(rows, schema=schema, orient="row", infer_schema_length=None)

    def _end(self) -> None:
        import polars as pl

        try:
            if self._held or not self._parts:
                self._spill()
            # A column that is empty in one part and not in the next is of the latter's type.
            whole = pl.concat([pl.scan_parquet(part) for part in self._parts], how="vertical_relaxed")
            whole.sink_parquet(self._path)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def dtype(kind: Kind) -> Any:
    """The type of a column in polars."""
    import polars as pl

    return {
        "integer": pl.Int64,
        "number": pl.Float64,
        "text": pl.String,
        "boolean": pl.Boolean,
        "date": pl.Date,
        "datetime": pl.Datetime("us"),
    }[kind]


def as_text(value: object) -> str:
    """Lists and objects, of JSON or of a database, as JSON: what a file of texts can hold of them."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return as_text(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _sync_directory(directory: Path) -> None:
    """Make a new name last through a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
