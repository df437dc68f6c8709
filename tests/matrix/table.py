"""The verdicts as a table: coloured in a terminal, plain in a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .verdicts import WORKERS, Verdict, Verdicts

_STYLES = {"pass": "green", "FAIL": "bold red", "excused": "dim", "due": "yellow"}
_NONE = Verdict("FAIL", "did not run")


def write(verdicts: Verdicts, stream: TextIO) -> None:
    """Write the table, the legend and the counts."""
    if stream.isatty():
        Console(file=stream).print(_rich(verdicts))
    else:
        stream.writelines(f"{line}\n" for line in _plain(verdicts))
    stream.writelines(f"{line}\n" for line in notes(verdicts))


def summary(verdicts: Verdicts) -> str:
    """The last line: ``12 pass, 0 fail, 3 excused, 4 due``."""
    return ", ".join(f"{count} {word.lower()}" for word, count in verdicts.counts().items())


def lines(verdicts: Verdicts) -> Iterator[tuple[str, list[list[Verdict]]]]:
    """Each subject, with the verdicts of all columns for each row; what did not run has failed."""
    for name, by_row in verdicts.cells.items():
        yield name, [[by_row.get(row, {}).get(c, _NONE) for c in verdicts.columns] for row in verdicts.rows]


def header(verdicts: Verdicts) -> list[str]:
    """The rows, as words."""
    return [row.replace("_", " ") for row in verdicts.rows]


def shown(cell: list[Verdict]) -> str:
    """A cell as a word where all columns agree, else a word for each."""
    words = [verdict.word for verdict in cell]
    return words[0] if len(set(words)) == 1 else " / ".join(words)


def _rich(verdicts: Verdicts) -> Table:
    table = Table("subject", *header(verdicts), caption=f"in each cell: {' / '.join(verdicts.columns)}")
    for name, cells in lines(verdicts):
        table.add_row(name, *(Text(" / ").join(Text(v.word, _STYLES[v.word]) for v in cell) for cell in cells))
    return table


def _plain(verdicts: Verdicts) -> Iterator[str]:
    texts = [["subject", *header(verdicts)]]
    texts += [[name, *("/".join(v.word for v in cell) for cell in cells)] for name, cells in lines(verdicts)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for line in texts:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
    yield f"in each cell: {'/'.join(verdicts.columns)}"


def notes(verdicts: Verdicts) -> Iterator[str]:
    """Each excuse, each thing that is waited for, each failure, once, with its cells; then the counts."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for name, cells in lines(verdicts):
        for row, cell in zip(header(verdicts), cells, strict=True):
            for column, verdict in zip(verdicts.columns, cell, strict=True):
                where = f"{name} {row}" + (f" ({column})" if verdict.word == "FAIL" else "")
                if verdict.detail:
                    found.setdefault((verdict.word, verdict.detail), {})[where] = None
    for (word, detail), places in sorted(found.items(), key=lambda note: list(_STYLES).index(note[0][0])):
        yield f"{word}: {detail}: {', '.join(places)}"
    sizes = [(len(verdicts.cells), "subject"), (len(verdicts.rows), "row")]
    if verdicts.columns != [WORKERS]:
        sizes.append((len(verdicts.columns), "broker"))
    size = " x ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in sizes)
    yield f"{size}: {summary(verdicts)}"
