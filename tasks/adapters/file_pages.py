"""What a Parquet file unpacks to, from the headers of its pages, which are not packed themselves.

The file's own sum may lie. What a page's header says is what is set aside for it when it is unpacked, so that is added
up. Of Thrift's compact protocol only what these headers need is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .file_errors import BadFile, FileTooLarge
from .file_settings import FileSettings

_MAGIC = b"PAR1"
_DEPTH = 16


def check_pages(path: Path, settings: FileSettings) -> None:
    """Add up what all pages of a Parquet file unpack to.

    Raises:
      FileTooLarge: more than ``FILES_MAX_UNPACKED``, or more values than that has bytes.
      BadFile: it is no Parquet file, or damaged.
    """
    limit, seen = settings.max_unpacked, 0
    with path.open("rb") as file:
        footer = _footer(file)
        groups = _list(footer.get(4, []))
        values = sum(_count(chunk.get(5)) for chunk in _chunks(groups))
        if max(values, _count(footer.get(3))) > limit:
            raise FileTooLarge(f"it has more values than FILES_MAX_UNPACKED ({limit:,} bytes) allows")
        for chunk in _chunks(groups):
            for size in _pages(file, chunk):
                seen += size
                if seen > limit:
                    raise FileTooLarge(f"it unpacks to more than FILES_MAX_UNPACKED ({limit:,} bytes)")


def _footer(file: BinaryIO) -> dict[int, Any]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != _MAGIC or not 0 < length <= size - 12:
        raise BadFile("it is no Parquet file, or damaged: it does not end as one")
    file.seek(size - 8 - length)
    return _Thrift(file, size - 8).struct()


def _chunks(groups: list[Any]) -> Iterator[dict[int, Any]]:
    """What is said of each column of each row group."""
    for group in groups:
        for column in _list(_struct(group).get(1, [])):
            yield _struct(_struct(column).get(3))


def _pages(file: BinaryIO, chunk: dict[int, Any]) -> Iterator[int]:
    """What each page of a column unpacks to."""
    data, dictionary, left = _count(chunk.get(9)), chunk.get(11), _count(chunk.get(7))
    # Some writers name no dictionary by 0.
    begin = min(data, _count(dictionary)) if dictionary else data
    end = begin + left
    while begin < end:
        file.seek(begin)
        header = _Thrift(file, end).struct()
        yield max(_count(header.get(2)), 0)
        begin = file.tell() + _count(header.get(3))


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise _damaged()
    return value


def _struct(value: object) -> dict[int, Any]:
    if not isinstance(value, dict):
        raise _damaged()
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _damaged()
    return value


def _damaged() -> BadFile:
    return BadFile("it is no Parquet file, or damaged: its headers cannot be read")


class _Thrift:
    """Reads a struct of the compact protocol into a dict by the numbers of its fields."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._end = end

    def struct(self, depth: int = 0) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while kind := self._bytes(1)[0]:
            number = number + (kind >> 4) if kind >> 4 else self._signed()
            found[number] = self._value(kind & 15, depth, of_field=True)
        return found

    def _value(self, kind: int, depth: int, *, of_field: bool = False) -> Any:
        if depth > _DEPTH:
            raise _damaged()
        if kind in (1, 2):
            return kind == 1 if of_field else self._bytes(1)[0] == 1
        if kind == 3:
            return self._bytes(1)[0]
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._number())
        if kind in (9, 10):
            head = self._bytes(1)[0]
            length = head >> 4 if head >> 4 < 15 else self._number()
            self._check(length)
            return [self._value(head & 15, depth + 1) for _ in range(length)]
        if kind == 12:
            return self.struct(depth + 1)
        raise _damaged()

    def _number(self) -> int:
        number = shift = 0
        while shift < 70:
            byte = self._bytes(1)[0]
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
        raise _damaged()

    def _signed(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def _bytes(self, length: int) -> bytes:
        self._check(length)
        found = self._file.read(length)
        if len(found) < length:
            raise _damaged()
        return found

    def _check(self, length: int) -> None:
        # Nothing in it is longer than what is left of the file.
        if length > self._end - self._file.tell():
            raise _damaged()
