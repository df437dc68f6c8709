"""Files, as an actor sees them: rows in, rows out, whatever the format and wherever they are. ::

    with open_rows("in/flights.csv") as source:
        for row in source.rows():              # row.number, row.values, row.problem, row.position
            ...
    with open_writer("out/flights.parquet", source.columns) as writer:
        writer.write(row.values for row in ...)
    writer.published                           # url, rows, bytes, sha256

A path is below ``FILES_ROOT``; a URL is one of fsspec (``s3://bucket/key``). Nothing here holds a whole file in memory,
except an XLSX sheet that is read. Which failures may pass says ``file_may_work_later``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from .file_errors import BadFile, FileRefused, FileTooLarge, file_may_work_later
from .file_places import Place, find
from .file_rows import Chunk, Options, Position, Reader, Row
from .file_settings import FileSettings
from .file_writers import Published, Writer, is_formula
from .kinds import Kind

if TYPE_CHECKING:
    import polars

__all__ = [
    "BadFile",
    "Chunk",
    "FileRefused",
    "FileSettings",
    "FileTooLarge",
    "Format",
    "Kind",
    "Options",
    "Place",
    "Position",
    "Published",
    "Reader",
    "Row",
    "Writer",
    "file_may_work_later",
    "find",
    "format_of",
    "frame_types",
    "is_formula",
    "open_rows",
    "open_writer",
    "read_frame",
    "write_frame",
]

Format = Literal["csv", "jsonl", "parquet", "xlsx"]

_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
}


def format_of(place: Place, name: str | None = None) -> Format:
    """The format that ``name`` says, else the one that the file's name ends in.

    Raises:
      BadFile: neither is known.
    """
    known = get_args(Format)
    found = next((kind for kind in known if kind == name), None) if name else _ENDINGS.get(place.suffix)
    if found is None:
        what = f"there is no format {name!r}" if name else f"{place.url} does not end in a known format"
        raise BadFile(f"{what}; there are {', '.join(known)}: give format=")
    kind: Format = found
    return kind


def open_rows(
    url: str,
    *,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    settings: FileSettings | None = None,
) -> Reader:
    """Open a file for reading. What is not given is found out; ``reader.options`` has it for other processes.

    Raises:
      FileRefused: this path may not be read.
      FileNotFoundError, OSError: it is not there, or its store is away.
      BadFile: it is not what it should be, or too large.
    """
    place = find(url, settings)
    kind = format_of(place, format)
    if kind in ("parquet", "xlsx"):
        if place.packed:
            raise BadFile(f"{place.url} is compressed twice: {kind} is compressed in itself; unpack it")
        from .file_frames import ParquetReader, XlsxReader  # polars takes a while to import

        return ParquetReader(place) if kind == "parquet" else XlsxReader(place, sheet=sheet)
    from .file_text import CsvReader, JsonLinesReader

    if kind == "jsonl":
        return JsonLinesReader(place, encoding=encoding)
    return CsvReader(place, encoding=encoding, delimiter=delimiter)


def open_writer(
    url: str,
    columns: Sequence[str],
    *,
    format: str | None = None,
    kinds: Mapping[str, Kind] | None = None,
    escape: bool = True,
    settings: FileSettings | None = None,
) -> Writer:
    """A writer for a file that takes the place of one of the same name when it is whole.

    ``escape`` is for CSV (see ``CsvWriter``), ``kinds`` for Parquet.

    Raises:
      FileRefused: this path may not be written.
      BadFile: its format is not known.
    """
    from . import file_writers as writers

    place = find(url, settings)
    kind = format_of(place, format)
    if place.packed:
        raise BadFile(f"{place.url}: compressed files are not written; leave out .gz")
    if kind == "csv":
        return writers.CsvWriter(place, columns, escape=escape)
    if kind == "jsonl":
        return writers.JsonLinesWriter(place, columns)
    if kind == "xlsx":
        return writers.XlsxWriter(place, columns)
    return writers.ParquetWriter(place, columns, kinds=kinds)


def read_frame(url: str, settings: FileSettings | None = None) -> polars.DataFrame:
    """A Parquet file as one frame, for what is small enough to be computed at once: a chunk.

    Raises:
      FileRefused, BadFile, FileNotFoundError, OSError: as ``open_rows``.
    """
    from .file_frames import whole_frame

    return whole_frame(find(url, settings))


def write_frame(url: str, frame: polars.DataFrame, settings: FileSettings | None = None) -> Published:
    """A frame as a Parquet file that is seen whole or not at all."""
    from .file_writers import ParquetWriter

    with ParquetWriter(find(url, settings), frame.columns) as writer:
        writer.write_frame(frame)
    return writer.published


def frame_types(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The types of columns of these kinds, as polars calls them."""
    from .file_writers import dtype

    return {name: dtype(kind) for name, kind in kinds.items()}
