from __future__ import annotations

import io

from . import planted as plants
from .cells import cells
from .planted import Greet, planted
from .table import summary, write
from .verdicts import Verdicts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def verdicts() -> Verdicts:
    found = Verdicts()
    for cell in cells([planted(plants.greet, **plants.OPTIONS)], {"greet": Greet}):
        for column in ("stub", "server"):
            broken = cell.row == "retry" and column == "server"
            found.note(cell, column, failure="it did not come back" if broken else None)
    return found


def written(stream: io.StringIO) -> list[str]:
    write(verdicts(), stream)
    return stream.getvalue().splitlines()


def test_a_file_gets_one_plain_line_per_subject_and_the_reasons_below() -> None:
    lines = written(io.StringIO())
    words = [" ".join(line.split()) for line in lines]
    assert words[0] == "subject retry timeout partial failure chain stop progress idempotency"
    assert words[1] == "greet pass/FAIL pass/pass excused/excused due/due excused/excused pass/pass"
    assert lines[2] == "in each cell: stub/server"
    assert lines[3] == "FAIL: it did not come back: greet retry (server)"
    assert "excused: takes no collection and no canvas: greet partial failure" in lines
    assert [line for line in lines if line.startswith("due: tomorrow (")]
    assert lines[-1] == "1 subject x 6 rows x 2 brokers: 5 pass, 1 fail, 4 excused, 2 due"
    assert "\x1b" not in "".join(lines)


def test_the_columns_stand_below_their_names() -> None:
    header, line, *_ = written(io.StringIO())
    assert header.index("chain stop") == line.index("due/due", line.index("excused"))


def test_a_terminal_gets_the_same_words_in_a_drawn_table() -> None:
    text = "\n".join(written(Terminal()))
    assert "│" in text
    for word in ("greet", "pass", "FAIL", "excused", "due"):
        assert word in text


def test_the_last_line_counts_what_is_due_apart() -> None:
    assert summary(verdicts()) == "5 pass, 1 fail, 4 excused, 2 due"


def test_a_cell_that_did_not_run_is_a_failure_in_the_table() -> None:
    found = verdicts()
    del found.cells["greet"]["progress"]["server"]
    stream = io.StringIO()
    write(found, stream)
    assert "FAIL: did not run: greet progress (server)" in stream.getvalue()
