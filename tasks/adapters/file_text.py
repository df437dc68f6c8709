"""CSV and JSON Lines: read line by line, with the bytes counted, so that reading goes on anywhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from .file_errors import BadFile
from .file_places import Place, open_binary
from .file_rows import Position, Reader, Row, check_columns
from .file_sniff import delimiter_of, encoding_of, known_encoding, mark_of

_SAMPLE = 1 << 16
#: Of a JSON Lines file, which has no header, so many rows are asked for their columns.
_FOR_COLUMNS = 100


class _Lines:
    """Decoded lines, and where in the file the next one begins.

    Attributes:
      damaged: a line since the last ``begin`` held bytes that are not of the encoding.
    """

    def __init__(self, stream: BinaryIO, encoding: str, offset: int, limit: int) -> None:
        stream.seek(offset)
        self.offset = offset
        self.damaged = False
        self._encoding = encoding
        self._limit = limit
        self._record = 0
        self._stream = stream
        # Where a character has several bytes, the byte of a line's end may be half of another character.
        wide = encoding.startswith(("utf-16", "utf-32"))
        self._text = io.TextIOWrapper(stream, encoding, errors="replace", newline="\n") if wide else None

    def begin(self) -> None:
        """A new row begins."""
        self.damaged, self._record = False, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        text, length = self._next()
        if not length:
            raise StopIteration
        self.offset += length
        self._record += length
        if self._record > self._limit:
            raise BadFile(
                f"the row at byte {self.offset - self._record:,} has more than {self._limit:,} bytes "
                "(FILES_MAX_RECORD); is a quote not closed?"
            )
        return text

    def _next(self) -> tuple[str, int]:
        if self._text is not None:
            text = self._text.readline(self._limit)
            self.damaged = self.damaged or "\ufffd" in text
            return text, len(text.encode(self._encoding, "surrogatepass"))
        raw = self._stream.readline(self._limit + 1)
        try:
            return raw.decode(self._encoding), len(raw)
        except UnicodeError:
            self.damaged = True
            return self._replaced(raw), len(raw)

    def _replaced(self, raw: bytes) -> str:
        try:
            return raw.decode(self._encoding, "replace")
        except UnicodeError:  # not every encoding has something to put there
            return raw.decode("ascii", "replace")

    def release(self) -> None:
        """Leave the stream open for another reader."""
        if self._text is not None:
            self._text.detach()


class _TextReader(Reader):
    def __init__(self, place: Place, kind: str, encoding: str | None) -> None:
        self._place = place
        self._limit = place.settings.max_record
        self._stream = open_binary(place)
        self._lines: _Lines | None = None
        try:
            # The length of what is packed is known at its end only.
            self.size = 0 if place.packed else place.size()
            self._encoding = known_encoding(encoding or encoding_of(self._stream, self.size or None), self._stream)
            self.options = {"format": kind, "encoding": self._encoding}
            self._mark = mark_of(self._stream)[1]
        except BaseException:
            self.close()
            raise

    def _lines_from(self, offset: int) -> _Lines:
        if self._lines is not None:
            self._lines.release()
        self._lines = _Lines(self._stream, self._encoding, offset, self._limit)
        return self._lines

    def close(self) -> None:
        if self._lines is not None:
            self._lines.release()
            self._lines = None
        self._stream.close()

    def _damage(self) -> str:
        return f"holds bytes that are not {self._encoding}"


class CsvReader(_TextReader):
    """Reads CSV with a header. Empty lines are no rows. Encoding and delimiter are found out unless they are given."""

    def __init__(self, place: Place, *, encoding: str | None = None, delimiter: str | None = None) -> None:
        super().__init__(place, "csv", encoding)
        try:
            self._delimiter = delimiter or delimiter_of(self._sample())
            if len(self._delimiter) != 1:
                raise BadFile(f"a delimiter is one character, not {self._delimiter!r}")
            self.options["delimiter"] = self._delimiter
            lines = self._lines_from(self._mark)
            self.columns = check_columns(next(self._parsed(lines), []))
            self._begin = lines.offset
        except csv.Error as error:
            self.close()
            raise BadFile(f"the header cannot be read: {error}") from None
        except BaseException:
            self.close()
            raise

    def rows(self, after: Position | None = None) -> Iterator[Row]:
        number, offset = after or (0, self._begin)
        lines = self._lines_from(offset)
        parsed = self._parsed(lines)
        while True:
            lines.begin()
            fields: list[str] = []
            problem = None
            try:
                fields = next(parsed)
            except StopIteration:
                return
            except BadFile as error:
                raise type(error)(f"{error} (behind row {number:,})") from None
            except csv.Error as error:
                problem = f"is not CSV: {error}"
            if not fields and problem is None:
                continue
            number += 1
            self.reached = lines.offset
            problem = problem or self._problem(fields, lines)
            values, surplus = dict(zip(self.columns, fields, strict=False)), fields[len(self.columns) :]
            yield Row(number, values, problem, [number, lines.offset], surplus)

    def _problem(self, fields: Sequence[str], lines: _Lines) -> str | None:
        if len(fields) != len(self.columns):
            return f"has {len(fields)} fields where the header has {len(self.columns)}"
        return self._damage() if lines.damaged else None

    def _parsed(self, lines: _Lines) -> Iterator[list[str]]:
        # The module's own limit is for the whole process and lower than ours, which the lines keep.
        csv.field_size_limit(max(csv.field_size_limit(), self._limit))
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _sample(self) -> str:
        lines, sample, length = self._lines_from(self._mark), [], 0
        for line in lines:
            lines.begin()
            sample.append(line)
            length += len(line)
            if length > _SAMPLE:
                break
        return "".join(sample)


class JsonLinesReader(_TextReader):
    """Reads an object per line. Empty lines are no rows. ``columns`` are those of the first hundred rows; a file
    without rows has none, and its ``total`` is 0."""

    def __init__(self, place: Place, *, encoding: str | None = None) -> None:
        super().__init__(place, "jsonl", encoding)
        try:
            first = list(islice(self.rows(), _FOR_COLUMNS))
            names = dict.fromkeys(name for row in first for name in row.values)
            if first and not names:
                raise BadFile(f"none of the first {len(first)} rows has a column: {first[0].problem or 'it is empty'}")
            self.columns = check_columns(list(names)) if first else ()
            self.total = None if first else 0
        except BaseException:
            self.close()
            raise

    def rows(self, after: Position | None = None) -> Iterator[Row]:
        number, offset = after or (0, self._mark)
        lines = self._lines_from(offset)
        while True:
            lines.begin()
            try:
                line = next(lines, None)
            except BadFile as error:
                raise type(error)(f"{error} (behind row {number:,})") from None
            if line is None:
                return
            if not line.strip():
                continue
            number += 1
            self.reached = lines.offset
            values, problem = _decoded(line)
            yield Row(number, values, self._damage() if lines.damaged else problem, [number, lines.offset])


def _decoded(line: str) -> tuple[dict[str, Any], str | None]:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        return {}, f"is not JSON: {error}"
    if not isinstance(found, dict):
        return {}, "is not a JSON object"
    return found, None
