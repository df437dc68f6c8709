import io
import math

import pytest
from rich.console import Console

from benchmarks.contenders import STOCK
from benchmarks.report import blocks, markdown, number, print_row
from tests.benchmarks.subjects import result


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0042, "0.004"),
        (0.512, "0.512"),
        (1.4567, "1.46"),
        (14.567, "14.6"),
        (145.67, "146"),
        (21345.6, "21,346"),
        (-12.6, "-12.6"),
        (math.inf, "never"),
    ],
)
def test_a_number_has_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_line_shows_median_extremes_ratio_bar_and_verdict() -> None:
    found = result(understudy=[(500, 250, 3), (600, 250, 3), (700, 250, 3)], stock=[(100, 200, 30)])
    rates, sizes, lateness = blocks(found)
    assert rates.heading == "messages a second (/s)"
    assert rates.lines[0] == ("Understudy", "600", "500 - 700", "6.00x", ">= 5x stock", "yes: 6.00x")
    assert rates.lines[1] == (STOCK.label, "100", "", "1.00x", "", "")
    assert sizes.lines[0][3:] == ("1.25x", "<= 1.5x the cost of stock", "yes: 1.25x")
    assert lateness.lines[0][4:] == ("<= 20.0 ms", "yes")


def test_a_missed_bar_is_loud() -> None:
    assert blocks(result(understudy=[(1, 1, 99)]))[2].lines[0][5] == "NO"


def test_who_failed_and_who_was_left_out_are_told_apart() -> None:
    found = result(understudy=[(1, 1, 1)])
    found.failures[STOCK.label] = "process 1 has ended\n    a log line"
    lines = blocks(found)[0].lines
    assert [line[1] for line in lines] == ["1.00", "failed, see below", "not measured", "not measured"]
    page = markdown([found], machine={}, how=[])
    assert f"{STOCK.label} failed: process 1 has ended\n" in page
    assert "a log line" not in page


def test_the_page_names_the_machine_and_what_is_missing() -> None:
    found = result(understudy=[(500, 250, 3)], stock=[(100, 200, 30)])
    page = markdown([found], machine={"Cores": "2"}, how=["3 repetitions"], missing=["Celery"])
    assert "- Cores: 2\n- 3 repetitions\n- Not measured: Celery\n" in page
    assert "## Drain of messages\n\n`python -m benchmarks --only drain`\n" in page
    assert "| Understudy | 500 |  | 5.00x | >= 5x stock | yes: 5.00x |\n" in page


def test_a_terminal_shows_the_same_cells() -> None:
    found = result(understudy=[(500, 250, 3)], stock=[(100, 200, 30)])
    found.failures["Celery"] = "[1] no such thing"
    out = io.StringIO()
    print_row(Console(file=out, width=140), found)
    (line,) = (line for line in out.getvalue().splitlines() if ">= 5x stock" in line)
    assert line.split() == ["Understudy", "500", "5.00x", ">=", "5x", "stock", "yes:", "5.00x"]
    assert "Celery failed: [1] no such thing" in out.getvalue()
