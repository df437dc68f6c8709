from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import typer

from understudy.cli.console import Exit, fail, guarded, to_json
from understudy.errors import ServerUnavailable


@dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True, "ü"]}, '{"a": [1, null, true, "ü"]}'),
        (datetime(2026, 3, 1, tzinfo=UTC), '"2026-03-01T00:00:00Z"'),
        (Decimal("1.50"), '"1.50"'),
        (b"abc", '"YWJj"'),
        (float("nan"), "null"),
        ([float("inf")], "[null]"),
        (Point(1, float("nan")), '{"x": 1, "y": null}'),
        (10**30, str(10**30)),
        ({1: "a"}, '{"1": "a"}'),
        (complex(1, 2), '"(1+2j)"'),
    ],
)
def test_whatever_a_result_holds_is_valid_json(value: Any, text: str) -> None:
    assert to_json(value) == text
    json.loads(text, parse_constant=pytest.fail)


def test_failing_says_why_on_stderr_and_ends_with_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail("[bold] is not a list", Exit.USAGE)
    assert ended.value.exit_code == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Error: [bold] is not a list\n")


def test_an_error_of_understudy_becomes_its_text_and_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise ServerUnavailable("away")

    assert guarded(run) == Exit.SERVER
    assert capsys.readouterr().err == "Error: away\n"


def test_a_bug_keeps_its_traceback() -> None:
    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded(run)
