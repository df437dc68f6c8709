"""Extract: look at the source once, say how it is read and where its chunks begin. No row leaves this step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tasks.adapters.files import Chunk, Options, Reader, Row, find, open_rows
from understudy import progress

from .job import check_source
from .rows import Guess, columns_of, model_named, usable_names

#: Rows that are looked at to find out what columns hold: the first ones, and some of every chunk.
FIRST, OF_EACH = 500, 100


class Extracted:
    """What was found.

    Attributes:
      mark: that of the source (see ``Place.mark``).
      options: how the source is read.
      columns: their kinds, by the name in the table.
      rows: how many there are.
    """

    def __init__(self, mark: str, options: Options, columns: dict[str, str], chunks: list[Chunk]) -> None:
        self.mark, self.options, self.columns, self.chunks = mark, options, columns, chunks
        self.rows = sum(chunk["rows"] for chunk in chunks)


def extract(
    source: str,
    *,
    options: Options,
    chunk_rows: int,
    columns: Mapping[str, str] | None,
    model: str | None,
    missing: Sequence[str],
) -> Extracted:
    """Go through the source once, in bounded memory.

    Raises:
      FileRefused, BadFile, FileNotFoundError: see ``open_rows``; BadFile also when it is changed meanwhile.
      ValueError: it lacks a column that was asked for, or has two of the same name.
    """
    mark = find(source).mark()
    with open_rows(source, **options) as reader:
        names = usable_names(reader.columns)
        if model is not None:
            columns = columns_of(model_named(model))
        empty = reader.total == 0 and not names  # a file without rows, of a format that has names only with them
        if columns is not None and not empty and (unknown := [name for name in columns if name not in names.values()]):
            raise ValueError(f"{source} has no column {unknown[0]!r}; it has {', '.join(names.values())}")
        guess = Guess(reader.columns, missing)
        chunks = list(_chunks(reader, chunk_rows, guess))
        options = reader.options
    check_source(source, mark)
    if columns is None:
        columns = {names[name]: kind for name, kind in guess.kinds().items()}
    return Extracted(mark, options, dict(columns), chunks)


def _chunks(reader: Reader, size: int, guess: Guess) -> Iterator[Chunk]:
    """The chunks, and on the way some rows of each."""
    looked_at = _Looking(reader, size, guess)
    for chunk in Reader.chunks(looked_at, size):
        progress.update(reader.reached, reader.size or None)
        yield chunk
    progress.update(reader.reached, reader.size or None)


class _Looking(Reader):
    """Another reader, whose rows are looked at while they pass."""

    def __init__(self, reader: Reader, size: int, guess: Guess) -> None:
        self._reader, self._size, self._guess = reader, size, guess

    def rows(self, after: Sequence[int] | None = None) -> Iterator[Row]:
        for row in self._reader.rows(after):
            wanted = row.number <= FIRST or (row.number - 1) % self._size < OF_EACH
            if wanted and row.problem is None:
                self._guess.look(row.values)
            yield row

    def close(self) -> None:
        self._reader.close()
