"""What a text file is written in: its encoding, and the delimiter of a CSV file, found out from samples."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from typing import BinaryIO

from .file_errors import BadFile

#: Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DELIMITERS = (",", ";", "\t", "|")
#: Letters outside of ASCII that are too few to tell an encoding by, and the bytes that cp1252 has no letter for.
FEW = 12
_NOT_CP1252 = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
_HEAD, _PROBE, _PROBES = 1 << 20, 1 << 16, 8


def mark_of(stream: BinaryIO) -> tuple[str | None, int]:
    """The encoding that a byte order mark at the beginning names, and the mark's length."""
    stream.seek(0)
    start = stream.read(4)
    return next(((encoding, len(mark)) for mark, encoding in _MARKS if start.startswith(mark)), (None, 0))


def encoding_of(stream: BinaryIO, size: int | None = None) -> str:
    """The encoding of a text: by its mark, else UTF-8 if the samples are that, else what they look like.

    Samples are the first megabyte and, where ``size`` (the length in bytes) is known, places spread over the rest.
    """
    marked, _ = mark_of(stream)
    if marked is not None:
        return marked
    samples = _samples(stream, size)
    whole = len(samples[0]) < _HEAD
    if all(_is_utf8(sample, first=index == 0, whole=whole) for index, sample in enumerate(samples)):
        return "utf-8"
    return _guess(samples)


def _samples(stream: BinaryIO, size: int | None) -> list[bytes]:
    stream.seek(0)
    samples = [stream.read(_HEAD)]
    if size is not None and size > _HEAD:
        step = max(_PROBE, (size - _HEAD) // _PROBES)
        for place in (*range(_HEAD, size, step), size - _PROBE):
            stream.seek(place)
            samples.append(stream.read(_PROBE))
    return samples


def _is_utf8(sample: bytes, *, first: bool, whole: bool) -> bool:
    # A sample may begin and end in the middle of a character; a file may not.
    if not first:
        sample = sample.lstrip(bytes(range(0x80, 0xC0)))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, whole)
    except UnicodeDecodeError:
        return False
    return True


def _guess(samples: list[bytes]) -> str:
    from charset_normalizer import from_bytes  # here, because most files are UTF-8

    # Only what is not ASCII tells encodings apart, so lines of that kind are looked at.
    telling = [line for sample in samples for line in sample.split(b"\n") if not line.isascii()][:500]
    joined = b"\n".join(telling)
    if sum(byte > 127 for byte in joined) < FEW and all(byte not in _NOT_CP1252 for byte in joined):
        return "cp1252"  # a letter or two read well in a dozen encodings
    best = from_bytes(joined).best()
    if best is None:
        return "cp1252"
    # Several often read the same; the most common of them is named.
    alike = {best.encoding, *best.could_be_from_charset}
    return "cp1252" if alike & {"cp1252", "latin_1"} else best.encoding.replace("_", "-")


def delimiter_of(text: str) -> str:
    """The delimiter of a CSV file whose beginning is ``text``: the one that splits its rows most evenly."""
    best, score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = Counter(len(row) for row in _rows(text, delimiter) if row)
        if not widths:
            continue
        width, rows = widths.most_common(1)[0]
        if width > 1 and (rows / widths.total(), width) > score:
            best, score = delimiter, (rows / widths.total(), width)
    return best


def _rows(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append(row)
            if len(rows) == 200:
                break
        else:
            rows = rows[:-1] if len(rows) > 1 else rows  # the sample may have cut the last one
    except csv.Error:
        pass
    return rows


def known_encoding(name: str, stream: BinaryIO) -> str:
    """``name`` as Python calls it: ``utf-16-le`` for ``UTF_16LE``. Where it leaves the order of bytes open, the mark of
    ``stream`` decides.

    Raises:
      BadFile: there is no such encoding of texts, or no mark that says the order of bytes.
    """
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding:
        raise BadFile(f"there is no encoding {name!r}; write utf-8, cp1252, utf-16-le ...")
    plain = found.name.removesuffix("-sig")
    if plain not in ("utf-16", "utf-32"):
        return plain
    marked, _ = mark_of(stream)
    if marked is None or not marked.startswith(plain):
        raise BadFile(f"the file has no mark of {plain}; write {plain}-le or {plain}-be")
    return marked
