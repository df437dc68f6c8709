"""Real data with real dirt, and more of it put in by hand.

``data/flights.csv.xz`` holds the first 100,000 flights that left New York in 2013 (the public data set nycflights13, in
the public domain under CC0, from the US Bureau of Transportation Statistics). Some 2 % of them have no times: they were
cancelled.
"""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "flights.csv.xz"
KEY = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]


def flights(count: int) -> Iterator[list[str]]:
    """The header, and so many flights."""
    with lzma.open(DATA, "rt", encoding="utf-8", newline="") as file:
        yield from islice(csv.reader(file), count + 1)


def dirty(count: int) -> tuple[bytes, int]:
    """A CSV file of so many flights with a byte order mark, in UTF-16, with quoted newlines, and wrong values; and how
    many rows are bad."""
    text = io.StringIO(newline="")
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
    return b"\xff\xfe" + text.getvalue().encode("utf-16-le"), bad
