"""The report says the truth, and says so when the result does not."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.cli.demo.campaign import Row
from understudy.cli.demo.report import Report, compare

ROWS = [
    Row("ada@a.example", "Ada", "ok"),
    Row("grace@a.example", "Grace", "ok"),
    Row("gone@closed.example", "Gone", "refused"),
    Row("no-at", "No", "invalid"),
    Row("ADA@a.example", "Ada", "duplicate"),
]
GOOD: dict[str, Any] = {
    "successful": 2,
    "failed": 2,
    "failed_emails": [
        {"email": "gone@closed.example", "error": "550 no such user"},
        {"email": "no-at", "error": "must have an @-sign"},
    ],
}
RECEIVED = ["ada@a.example", "grace@a.example"]


def report(result: dict[str, Any] | None = None, received: list[str] | None = None, **more: Any) -> Report:
    return compare(ROWS, result or GOOD, RECEIVED if received is None else received, retries=1, **more)


def test_a_true_result_matches() -> None:
    found = report(again=[("the same id", GOOD)])
    assert found.matches
    assert (found.delivered, found.delivered_twice, found.duplicates) == (2, 0, 1)
    assert found.failed == {"550 no such user": 1, "must have an @-sign": 1}


@pytest.mark.parametrize(
    ("received", "said"),
    [
        ([*RECEIVED, "ada@a.example"], "mailed 2 times"),
        (RECEIVED[:1], "grace@a.example was not mailed, and nobody says so"),
        ([*RECEIVED, "gone@closed.example"], "gone@closed.example was mailed, and should not have been"),
    ],
)
def test_what_the_mail_server_has_and_the_result_does_not_say_is_found(received: list[str], said: str) -> None:
    assert any(said in problem for problem in report(received=received).problems)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"successful": 3}, "the result says 3 successful"),
        ({"failed": 7}, "says 7 failed and lists 2"),
        ({"failed_emails": GOOD["failed_emails"][:1], "failed": 1}, "'no-at' is invalid, and is not reported"),
        (
            {"failed_emails": [*GOOD["failed_emails"], {"email": "ada@a.example", "error": "x"}], "failed": 3},
            "ada@a.example was mailed, and is reported as failed",
        ),
    ],
)
def test_a_result_that_is_not_true_is_found(change: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in report({**GOOD, **change}).problems)


def test_a_second_run_that_differs_or_mails_is_found() -> None:
    assert not report(again=[("the same key", None)]).matches
    assert not report(received_again=1).matches


def test_a_mail_in_doubt_counts_neither_as_delivered_nor_as_lost() -> None:
    doubt = {"email": "grace@a.example", "error": "in doubt: a worker died"}
    result = {"successful": 1, "failed": 3, "failed_emails": [*GOOD["failed_emails"], doubt]}
    assert report(result, received=RECEIVED[:1]).matches
    found = report(result, received=RECEIVED)
    assert found.matches
    assert (found.in_doubt, found.in_doubt_delivered) == (1, 1)
