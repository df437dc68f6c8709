"""Rows as they come out of a file, whatever its format, and what reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypedDict

from .file_errors import BadFile

#: Where to go on: how many rows were read, and where in the file the next one begins (bytes, unpacked; or rows).
Position = Sequence[int]


class Options(TypedDict, total=False):
    """How a file is to be read: those of ``open_rows``."""

    format: str
    encoding: str
    delimiter: str
    sheet: str


@dataclass(slots=True)
class Row:
    """One row of a file.

    Attributes:
      number: counts from 1; the header is not a row.
      values: by column. Of a text file all are text.
      problem: why the row cannot be read as one; ``values`` are then what could be read.
      position: where the next row begins: a reader goes on there, in any process.
      surplus: fields behind the last column, of which there should be none.
    """

    number: int
    values: dict[str, Any]
    problem: str | None
    position: list[int]
    surplus: Sequence[str] = ()


class Chunk(TypedDict):
    """Some rows of a file, as small as it travels in a message.

    ``index`` counts from 0, ``first`` is the number of its first row, ``after`` is where to begin reading.
    """

    index: int
    first: int
    rows: int
    after: list[int] | None


class Reader(ABC):
    """Reads the rows of one file; a context manager, for one thread at a time.

    Attributes:
      columns: their names, in order.
      options: how the file is to be read (format, encoding, delimiter), found out or given. Another process that
        opens it with these reads the same.
      total: how many rows there are, where the format says so.
      size: how many bytes (or rows) ``reached`` counts up to.
      reached: how far the last row was, for progress.
    """

    columns: tuple[str, ...]
    options: Options
    total: int | None = None
    size: int = 0
    reached: int = 0

    @abstractmethod
    def rows(self, after: Position | None = None) -> Iterator[Row]:
        """The rows behind a position, from the beginning when it is None.

        Raises:
          BadFile: the file is not what it seems from some row on.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def chunks(self, size: int) -> Iterator[Chunk]:
        """The whole file as chunks of ``size`` rows; the last one may be smaller."""
        after: list[int] | None = None
        begin, index = 0, 0
        row = None
        for row in self.rows():
            if row.number - begin == size:
                yield Chunk(index=index, first=begin + 1, rows=size, after=after)
                begin, index, after = row.number, index + 1, row.position
        if row is not None and row.number > begin:
            yield Chunk(index=index, first=begin + 1, rows=row.number - begin, after=after)

    def read(self, chunk: Chunk) -> Iterator[Row]:
        """The rows of a chunk; what comes before it is not read where the format allows that."""
        return islice(self.rows(chunk["after"]), chunk["rows"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, stripped.

    Raises:
      BadFile: there are none, one is empty, or one comes twice.
    """
    names = tuple(name.strip() for name in columns)
    if not names:
        raise BadFile("the file is empty: it has no header")
    if empty := [index + 1 for index, name in enumerate(names) if not name]:
        raise BadFile(f"column {empty[0]} has no name in the header")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadFile(f"the header names {twice[0]!r} twice")
    return names
