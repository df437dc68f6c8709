"""Chunks of rows, and names of columns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.adapters.file_errors import BadFile
from tasks.adapters.file_rows import Position, Reader, Row, check_columns


class Counted(Reader):
    """So many rows, of which the position is the number."""

    def __init__(self, count: int) -> None:
        self.count, self.closed = count, False

    def rows(self, after: Position | None = None) -> Iterator[Row]:
        for number in range((after or (0,))[0] + 1, self.count + 1):
            yield Row(number, {"n": number}, None, [number, number])

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (30, [10] * 3)])
def test_chunks_hold_every_row_once(count: int, sizes: list[int]) -> None:
    with Counted(count) as reader:
        chunks = list(reader.chunks(10))
        assert [chunk["rows"] for chunk in chunks] == sizes
        assert [chunk["index"] for chunk in chunks] == list(range(len(sizes)))
        rows = [row for chunk in chunks for row in reader.read(chunk)]
        assert [row.number for row in rows] == list(range(1, count + 1))
        assert [chunk["first"] for chunk in chunks] == [1 + 10 * index for index in range(len(sizes))]
    assert reader.closed


def test_names_of_columns_are_distinct_and_not_empty() -> None:
    assert check_columns([" a", "b "]) == ("a", "b")
    for wrong in ([], ["a", " "], ["a", "a "]):
        with pytest.raises(BadFile):
            check_columns(wrong)
