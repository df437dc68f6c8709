"""Real data with real dirt, and more of it put in by hand.

``data/flights.csv.xz`` holds the first 100,000 flights that left New York in 2013 (the public data set nycflights13, in
the public domain under CC0, from the US Bureau of Transportation Statistics). Some 2 % of them have no times: they were
cancelled.
"""

from __future__ import annotations

import csv
import io
import itertools
import lzma
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

DATA = Path(__file__).parents[1] / "data" / "flights.csv.xz"
KEY = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]


def flights(count: int) -> Iterator[list[str]]:
    """The header, and so many flights. Those of the file are followed by the same a year later, and so on."""
    for later in itertools.count():
        with lzma.open(DATA, "rt", encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = next(rows)
            if not later:
                yield header
            for row in islice(rows, count):
                count -= 1
                yield [str(int(row[0]) + later), *row[1:]] if later else row
        if not count:
            return


def dirty(count: int) -> tuple[bytes, int]:
    """A CSV file of so many flights with a byte order mark, in UTF-16, with quoted newlines, and wrong values; and how
    many rows are bad."""
    file = io.BytesIO()
    bad = write_dirty(file, count)
    return file.getvalue(), bad


def write_dirty(file: BinaryIO, count: int) -> int:
    """Write the same into ``file``; how many rows are bad."""
    file.write(b"\xff\xfe")
    text = io.TextIOWrapper(file, encoding="utf-16-le", newline="")
    writer = csv.writer(text, delimiter=";")
    bad = 0
    for number, row in enumerate(flights(count)):
        if number == 0:
            row = [*row, "Rémarks"]
        elif number % 97 == 0:
            row, bad = [*row[:15], "far", *row[16:], ""], bad + 1  # no distance
        elif number % 101 == 0:
            row, bad = row[:7], bad + 1  # broken off
        else:
            row = [*row, 'délayed;\nsee "log"' if number % 50 == 0 else ""]
        writer.writerow(row)
    text.detach()
    return bad
