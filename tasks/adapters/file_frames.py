"""Parquet and XLSX: read in parts by polars, from this machine's disk (a file elsewhere is copied there first)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .file_errors import BadFile
from .file_pages import check_pages
from .file_places import Place, local_copy
from .file_rows import Position, Reader, Row, check_columns
from .file_sheets import check_archive

if TYPE_CHECKING:
    import polars

#: Rows that are held at once.
WINDOW = 5_000


class _FrameReader(Reader, ABC):
    """Rows of something that gives its rows ``begin`` to ``begin + WINDOW`` as a frame."""

    def __init__(self, place: Place, kind: str) -> None:
        self.options = {"format": kind}
        self._limit = place.settings.max_record
        self._stack = ExitStack()
        try:
            self._open(self._stack.enter_context(local_copy(place)), place)
            self.size = self.total or 0
        except BaseException:
            self.close()
            raise

    def rows(self, after: Position | None = None) -> Iterator[Row]:
        number = after[0] if after else 0
        while number < (self.total or 0):
            frame = self._frame(number)
            _check_rows(frame, number, self._limit)
            for values in frame.iter_rows():
                number += 1
                self.reached = number
                # By our names: those in the file may have blanks around them.
                yield Row(number, dict(zip(self.columns, values, strict=True)), None, [number, number])

    def close(self) -> None:
        self._stack.close()

    @abstractmethod
    def _open(self, path: Path, place: Place) -> None:
        """Open the file; sets ``columns`` and ``total``."""

    @abstractmethod
    def _frame(self, begin: int) -> polars.DataFrame:
        """The rows from ``begin`` on, at most ``WINDOW`` of them."""


class ParquetReader(_FrameReader):
    """Reads Parquet; of what comes before a chunk only whole row groups are passed by."""

    def __init__(self, place: Place) -> None:
        super().__init__(place, "parquet")

    def _open(self, path: Path, place: Place) -> None:
        import polars as pl

        check_pages(path, place.settings)
        self._lazy = pl.scan_parquet(path)
        try:
            self.columns = check_columns(self._lazy.collect_schema().names())
            self.total = int(self._lazy.select(pl.len()).collect().item())
        except pl.exceptions.PolarsError as error:
            raise BadFile(f"it is no Parquet file, or damaged: {error}") from None

    def _frame(self, begin: int) -> polars.DataFrame:
        import polars as pl

        try:
            return self._lazy.slice(begin, WINDOW).collect()
        except pl.exceptions.PolarsError as error:
            raise BadFile(f"it is damaged behind row {begin:,}: {error}") from None


class XlsxReader(_FrameReader):
    """Reads one sheet of an XLSX file, whose first row is the header. Of formulas it has the values that were saved.

    The format has to be unpacked from its beginning, and a sheet has at most 1,048,576 rows: it is held whole, within
    ``FILES_MAX_UNPACKED``.
    """

    def __init__(self, place: Place, *, sheet: str | None = None) -> None:
        self._sheet = sheet
        super().__init__(place, "xlsx")
        if sheet is not None:
            self.options["sheet"] = sheet

    def _open(self, path: Path, place: Place) -> None:
        import fastexcel

        check_archive(path, place.settings)
        try:
            book = fastexcel.read_excel(path)
            if self._sheet is not None and self._sheet not in book.sheet_names:
                raise BadFile(f"there is no sheet {self._sheet!r}; there are {', '.join(book.sheet_names)}")
            name = self._sheet if self._sheet is not None else 0
            # All rows say what a column holds: of a text far below a column of numbers there would be nothing left.
            self._held = book.load_sheet(name, schema_sample_rows=None).to_polars()
        except fastexcel.FastExcelError as error:
            raise BadFile(f"it is no XLSX file, or damaged: {error}") from None
        self.columns = check_columns(self._held.columns)
        self.total = self._held.height

    def _frame(self, begin: int) -> polars.DataFrame:
        return self._held.slice(begin, WINDOW)


def _check_rows(frame: polars.DataFrame, begin: int, limit: int) -> None:
    """See that no row has more text than one may have, while it is still held once for all that share it."""
    import polars as pl

    lengths = [
        *(pl.col(name).str.len_bytes() for name, kind in frame.schema.items() if kind == pl.String),
        *(pl.col(name).bin.size() for name, kind in frame.schema.items() if kind == pl.Binary),
    ]
    if not lengths:
        return
    sizes = frame.select(pl.sum_horizontal(length.cast(pl.Int64) for length in lengths)).to_series()
    largest = sizes.arg_max()
    if largest is not None and sizes[largest] > limit:
        raise BadFile(f"row {begin + largest + 1:,} has {sizes[largest]:,} bytes; FILES_MAX_RECORD allows {limit:,}")


def whole_frame(place: Place) -> polars.DataFrame:
    """A Parquet file at once.

    Raises:
      BadFile: it is none, or damaged.
    """
    import polars as pl

    with local_copy(place) as path:
        check_pages(path, place.settings)
        try:
            return pl.read_parquet(path)
        except pl.exceptions.PolarsError as error:
            raise BadFile(f"it is no Parquet file, or damaged: {error}") from None
