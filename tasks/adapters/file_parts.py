"""A file that is made in parts, by several executions: beside its final name, in a directory that nobody looks into.

::

    exports/.flights.csv.4f1c.parts/000001.10000.csv      number and rows of the part
                                    000002.10000.csv
    exports/flights.csv                                   appears when all are joined

A part appears whole or not at all, and one that is written again takes the place of the first. So whoever goes on, in
whatever process, finds what is done by its names.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .file_errors import BadFile
from .file_places import Place, find, local_copy, open_binary
from .file_writers import Published, Publisher, XlsxWriter, as_text, check_cell, csv_header, dtype
from .files import Format, open_rows, open_writer
from .kinds import Kind

_PART = re.compile(r"(\d{6})\.(\d+)\.\w+")
_BUFFER = 1 << 20
#: What parts are written as: what can be joined without being read, where there is such a thing.
_WRITTEN_AS: dict[Format, Format] = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "xlsx": "parquet"}


def parts_directory(name: str) -> re.Pattern[str]:
    """What the directories of parts of a file called ``name`` look like; of any file when it is empty."""
    return re.compile(rf"\.{re.escape(name) if name else '.+'}\.[0-9a-f]{{16}}\.parts")


class Parts:
    """The parts of ``target``.

    Args:
      maker: tells them from those of another who makes a file of the same name: the same in every execution.
      columns: what every part has, in order.
      kinds: of columns whose type must not depend on what a part happens to hold, for Parquet and XLSX.
    """

    def __init__(
        self,
        target: Place,
        format: Format,
        columns: Sequence[str],
        *,
        maker: str,
        kinds: Mapping[str, Kind] | None = None,
    ) -> None:
        self._target = target
        self._format = format
        self._columns = list(columns)
        self._kinds = dict(kinds or {})
        token = hashlib.sha256(maker.encode()).hexdigest()[:16]
        self.directory = target.beside(f".{Path(target.path).name}.{token}.parts")

    def write(self, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write part ``number`` (from 1), in the place of an earlier one.

        Raises:
          ValueError: a text does not go into a cell of XLSX; the rows before it are counted from the parts before.
        """
        there = self._found()
        old = [place for found, _, place in there if found == number]
        if self._format == "xlsx":
            # A part would give the objects of a column the fields of one another; a sheet has their text anyway.
            rows = [_flat(row) for row in rows]
            self._check_cells(rows, behind=sum(count for found, count, _ in there if found < number))
        format = _WRITTEN_AS[self._format]
        kinds = self._kinds if format == "parquet" else None
        place = self._part(f"{number:06}.{len(rows)}.{format}")
        with open_writer(place.url, self._columns, format=format, kinds=kinds, settings=place.settings) as writer:
            writer.write(rows)
        for other in old:
            if other.url != place.url:
                other.remove()

    @property
    def rows(self) -> int:
        """How many rows all parts have."""
        return sum(rows for _, rows, _ in self._found())

    def missing(self, count: int) -> list[int]:
        """Which of the parts 1 to ``count`` are not there."""
        there = {number for number, _, _ in self._found()}
        return [number for number in range(1, count + 1) if number not in there]

    def check(self, count: int) -> None:
        """See that parts 1 to ``count`` are there.

        Raises:
          BadFile: one is not: somebody removed it, or it is on another machine's disk.
        """
        if gone := self.missing(count):
            raise BadFile(
                f"part {gone[0]} of {count} in {self.directory.url} is gone: it was cleaned away, or written on "
                "another machine; send the message anew"
            )

    def join(self, count: int) -> Published:
        """Make the file of parts 1 to ``count``, in their order. They stay, until ``remove``.

        Raises:
          BadFile: one is not there.
        """
        self.check(count)
        places = [place for _, _, place in sorted(self._found(), key=lambda part: part[0])]
        rows = self.rows
        if self._format == "xlsx":
            return self._rewrite(places)
        kind = _Parquet if self._format == "parquet" else _Text
        with kind(self._target, places, self._columns, self._format, self._kinds) as joined:
            joined.rows = rows
        return joined.published

    def remove(self) -> None:
        """Remove what there is of them."""
        if self.directory.local:
            shutil.rmtree(self.directory.path, ignore_errors=True)
        elif self.directory.system().exists(self.directory.path):
            self.directory.system().rm(self.directory.path, recursive=True)

    def _rewrite(self, places: Iterable[Place]) -> Published:
        with XlsxWriter(self._target, self._columns) as writer:
            for place in places:
                with open_rows(place.url, format="parquet", settings=place.settings) as reader:
                    writer.write(row.values for row in reader.rows())
        return writer.published

    def _check_cells(self, rows: Sequence[Mapping[str, Any]], *, behind: int) -> None:
        """A part of Parquet takes any text: what a sheet does not take is to be found before all of them are there."""
        for number, row in enumerate(rows, behind + 1):
            for name in self._columns:
                check_cell(row.get(name), row=number, column=name)

    def _part(self, name: str) -> Place:
        return find(f"{self.directory.url}/{name}", self._target.settings)

    def _found(self) -> list[tuple[int, int, Place]]:
        found = []
        for name in _names_in(self.directory):
            match = _PART.fullmatch(name)
            if match is not None:
                found.append((int(match[1]), int(match[2]), self._part(name)))
        return found


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_text(value) if isinstance(value, dict | list) else value for name, value in row.items()}


def _names_in(directory: Place) -> list[str]:
    if directory.local:
        path = Path(directory.path)
        return [entry.name for entry in path.iterdir()] if path.is_dir() else []
    system = directory.system()
    if not system.exists(directory.path):
        return []
    return [str(name).rstrip("/").rpartition("/")[2] for name in system.ls(directory.path, detail=False)]


class _Joined(Publisher):
    def __init__(
        self, target: Place, parts: Sequence[Place], columns: Sequence[str], format: Format, kinds: Mapping[str, Kind]
    ) -> None:
        super().__init__(target)
        self._parts = parts
        self._columns = columns
        self._format = format
        self._kinds = kinds

    def _end(self) -> None:
        """All is done when it begins."""


class _Text(_Joined):
    """Bytes behind bytes; of CSV the header once."""

    def _begin(self) -> None:
        header = csv_header(self._columns) if self._format == "csv" else b""
        with self._path.open("wb") as target:
            target.write(header)
            for part in self._parts:
                with open_binary(part) as source:
                    source.seek(len(header))
                    shutil.copyfileobj(source, target, _BUFFER)


class _Parquet(_Joined):
    def _begin(self) -> None:
        import polars as pl

        if not self._parts:
            schema = {name: dtype(self._kinds.get(name, "text")) for name in self._columns}
            pl.DataFrame(schema=schema).write_parquet(self._path)
            return
        with ExitStack() as stack:
            frames = [pl.scan_parquet(stack.enter_context(local_copy(part))) for part in self._parts]
            # A column that is empty in one part and not in the next is of the latter's type.
            pl.concat(frames, how="vertical_relaxed").sink_parquet(self._path)
