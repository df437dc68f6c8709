"""What the sheets of an XLSX file come to in memory, found out before they are read.

Two small things become large ones there. A text is stored once and named by any number of cells, each of which gets it.
And a sheet is held as a rectangle: of one value in the last row and column are made billions of empty cells.

Every sheet is judged by bounds that cost next to nothing; where they do not suffice, its cells are looked at one by
one.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from array import array
from pathlib import Path
from typing import Any
from xml.parsers import expat

from .file_errors import BadFile, FileTooLarge
from .file_settings import FileSettings

#: Bytes of a cell, twice: the reader has them in two forms for a while.
CELL = 64
_ROWS, _COLUMNS = 1_048_576, 16_384
_BUFFER = 1 << 20
_PREFIXED = re.compile(rb":c[ >/\r\n\t]")
# Letters and digits as one of each, so that the shape of "AB123" can be searched for.
_SHAPES = bytes(ord("A") if chr(c).isalpha() and c < 128 else ord("9") if chr(c).isdigit() else c for c in range(256))


def check_archive(path: Path, settings: FileSettings) -> None:
    """Unpack an XLSX file into nothing, to see what it holds: its own figures may lie.

    Raises:
      FileTooLarge: more than ``FILES_MAX_UNPACKED``, packed out or in memory.
      BadFile: it is no ZIP, or damaged.
    """
    limit = settings.max_unpacked
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > limit:
                raise _too_large("unpacks to", limit)
            seen, bounds = 0, _Bounds()
            for info in archive.infolist():
                with archive.open(info) as member:
                    while part := member.read(_BUFFER):
                        seen += len(part)
                        if seen > limit:
                            raise _too_large("unpacks to", limit)
                        bounds.look(part)
                bounds.end(info.filename)
            if not bounds.within(limit):
                _Cells(archive).check(bounds, limit)
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadFile(f"it is no XLSX file, or damaged: {error}") from None


def _too_large(what: str, limit: int) -> FileTooLarge:
    return FileTooLarge(f"it {what} more than FILES_MAX_UNPACKED ({limit:,} bytes)")


class _Bounds:
    """Upper bounds of what all sheets hold, from their bytes. Whatever else looks like a cell only makes them higher.

    Attributes:
      shared: the members of the archive that hold texts which cells share.
      sheets: those that hold cells.
    """

    def __init__(self) -> None:
        self.shared: list[str] = []
        self.sheets: list[str] = []
        self._longest = self._named = self._area = 0
        self._odd = False
        self._next()

    def _next(self) -> None:
        self._carry = b""
        self._texts = self._cells = False
        self._gap = self._widest = self._rows = 0
        self._letters = self._digits = 1

    def look(self, part: bytes) -> None:
        """Look at the next bytes of a member. No tag is looked at in two halves."""
        window = self._carry + part
        whole = window.rfind(b">") + 1
        self._carry = window[whole:]
        if len(self._carry) > _BUFFER:
            self._odd, self._carry = True, b""
        self._look(window[:whole])

    def end(self, name: str) -> None:
        """The member is at its end."""
        self._look(self._carry)
        if self._texts:
            self.shared.append(name)
            self._longest = max(self._longest, self._widest, self._gap)
        if self._cells:
            self.sheets.append(name)
            columns = {1: 26, 2: 702, 3: _COLUMNS}.get(self._letters, 0)
            self._odd = self._odd or not columns or self._digits > 7
            self._area = max(self._area, min(10**self._digits - 1 + self._rows, _ROWS) * columns)
        self._next()

    def _look(self, window: bytes) -> None:
        # A text that cells share is what is between two ends of one.
        first, *others = window.split(b"</si")
        self._widest = max(self._widest, self._gap + len(first), *map(len, others))
        self._gap = len(others[-1]) if others else self._gap + len(first)
        self._texts = self._texts or bool(others) or (not self._cells and b"si>" in window)
        if not self._cells:
            self._odd = self._odd or b"<![CDATA[" in window
            begin = window.find(b"sheetData")
            if begin < 0:
                return
            self._cells, window = True, window[begin:]
        # A cell names such a text with t="s": what reads it takes no other spelling.
        self._named += window.count(b'"s"') + (window.count(b"'s'") if b"'" in window else 0)
        self._rows += window.count(b"row")
        shapes = window.translate(_SHAPES)
        for letters in range(self._letters + 1, 5):
            if b'<A A="' + b"A" * letters + (b"9" if letters < 4 else b"") in shapes:
                self._letters = letters
        while self._digits < 8 and (more := b"9" * (self._digits + 1)) in shapes:
            if not any(mark + more in shapes for mark in (b"A", b'"', b"'")):
                break
            self._digits += 1
        # A cell may leave out where it is, or say it behind something else: then cells are looked at one by one.
        cells = window.count(b'<c r="')
        if window.count(b"<c") != cells:
            cells += sum(window.count(tag) for tag in (b"<co", b"<cf", b"<cu"))  # behind the cells
        self._odd = self._odd or window.count(b"<c") != cells or _PREFIXED.search(window) is not None

    def within(self, limit: int) -> bool:
        """Whether it is certain that all stays below ``limit`` bytes."""
        return not self._odd and self._longest * self._named <= limit and self._area * CELL <= limit


class _Cells:
    """The same, exactly."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._lengths: array[int] = array("Q")
        self._bytes = 0

    def check(self, bounds: _Bounds, limit: int) -> None:
        """Raises ``FileTooLarge`` when a sheet, or the texts of all, are above ``limit`` bytes."""
        for info in self._archive.infolist():
            if info.filename in bounds.shared:
                self._parse(info, start=self._text_begins, text=self._text)
        for info in self._archive.infolist():
            if info.filename in bounds.sheets:
                self._row = self._column = self._last_row = self._last_column = 0
                self._names = self._is_value = False
                self._value = ""
                self._parse(info, start=self._cell_begins, text=self._cell, end=self._cell_ends)
                rows, columns = self._last_row, self._last_column
                if rows * columns * CELL > limit:
                    raise _too_large(f"has a sheet of {rows:,} x {columns:,} cells, which takes", limit)
                if self._bytes > limit:
                    raise _too_large("has cells whose texts take", limit)

    def _parse(self, info: zipfile.ZipInfo, *, start: Any, text: Any, end: Any = None) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
        with self._archive.open(info) as member:
            while part := member.read(_BUFFER):
                parser.Parse(part, False)
        parser.Parse(b"", True)

    def _text_begins(self, name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "si":
            self._lengths.append(0)

    def _text(self, text: str) -> None:
        if self._lengths:
            self._lengths[-1] += len(text.encode())

    def _cell_begins(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "row":
            self._row, self._column = _number(attributes.get("r", ""), self._row + 1), 0
        elif local == "c":
            letters = attributes.get("r", "").rstrip("0123456789")
            self._column = _column(letters) if letters else self._column + 1
            self._row = _number(attributes.get("r", "")[len(letters) :], self._row)
            self._names = attributes.get("t") == "s"
            self._last_row = max(self._last_row, self._row)
            self._last_column = max(self._last_column, self._column)
        self._is_value = local == "v" and self._names
        self._value = ""

    def _cell(self, text: str) -> None:
        if self._is_value:
            self._value += text

    def _cell_ends(self, name: str) -> None:
        if self._is_value:
            place = _number(self._value, len(self._lengths))
            self._bytes += self._lengths[place] if place < len(self._lengths) else 0
            self._is_value = False


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper()[:4]:
        number = number * 26 + ord(letter) - 64
    return number
