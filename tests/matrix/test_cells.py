"""Cells of planted subjects, run on both brokers as those of real ones are."""

from __future__ import annotations

from typing import Any

import pytest

from understudy import actor
from understudy.brokers.settlement import SettlingBroker

from . import planted as plants
from .cells import SABOTAGE, Cell, Sabotage, cells, run, run_sabotaged
from .entries import ROWS, Entry
from .planted import CannotFail, Greet, WrongExcuses
from .subjects import Subject, of_actor


@pytest.fixture
def greet(broker: SettlingBroker) -> Any:
    """The planted actor, on the stage of this test."""
    plants.greeted.clear()
    plants.troubles.clear()
    return actor(broker=broker, **plants.OPTIONS)(plants.greet)


@pytest.fixture
def subject(greet: Any) -> Subject:
    return of_actor(greet)


def cell(subject: Subject, row: str, entry: type[Entry]) -> Cell:
    (found,) = [cell for cell in cells([subject], {subject.name: entry}) if cell.row == row]
    return found


@pytest.mark.parametrize("row", ROWS)
def test_a_subject_in_order_passes_on_every_row(row: str, subject: Subject, request: pytest.FixtureRequest) -> None:
    run(cell(subject, row, Greet), request)


@pytest.mark.parametrize(
    ("row", "sabotage"), [(row, sabotage) for row in ("retry", "timeout", "idempotency") for sabotage in SABOTAGE[row]]
)
def test_a_case_that_can_fail_notices_every_sabotage(
    row: str, sabotage: Sabotage, subject: Subject, request: pytest.FixtureRequest
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert sabotage(subject, patch), "there is nothing to take away"
    run_sabotaged(cell(subject, row, Greet), sabotage, request)


def test_what_was_taken_away_is_given_back(greet: Any, subject: Subject, request: pytest.FixtureRequest) -> None:
    for sabotage in SABOTAGE["idempotency"]:
        run_sabotaged(cell(subject, "idempotency", Greet), sabotage, request)
    assert greet.fn is plants.greet
    assert greet.declared.idempotency is not None


def test_a_subject_that_misbehaves_fails(greet: Any, subject: Subject, request: pytest.FixtureRequest) -> None:
    greet.fn = lambda name: "Goodbye."
    with pytest.raises(AssertionError, match=r"\[\] == \['Ada'\]"):
        run(cell(subject, "idempotency", Greet), request)


@pytest.mark.brokers("stub")
def test_a_problem_is_a_failure(subject: Subject, request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match="does not declare pure"):
        run(cell(subject, "idempotency", WrongExcuses), request)


@pytest.mark.brokers("stub")
def test_a_subject_without_an_entry_has_six_cells_that_fail(subject: Subject, request: pytest.FixtureRequest) -> None:
    found = cells([subject], {})
    assert [str(cell) for cell in found] == [f"greet-{row}" for row in ROWS]
    for cell in found:
        with pytest.raises(pytest.fail.Exception, match="without an entry"):
            run(cell, request)


@pytest.mark.brokers("stub")
def test_a_case_that_never_sends_to_its_subject_fails(subject: Subject, request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match="passed without a message to greet"):
        run(cell(subject, "progress", CannotFail), request)


@pytest.mark.brokers("stub")
def test_a_case_that_does_not_notice_a_body_that_does_nothing_cannot_fail(
    subject: Subject, request: pytest.FixtureRequest
) -> None:
    no_body, no_idempotency = SABOTAGE["idempotency"]
    with pytest.raises(pytest.fail.Exception, match="its subject has no body, so it cannot fail"):
        run_sabotaged(cell(subject, "idempotency", CannotFail), no_body, request)
    with pytest.raises(pytest.fail.Exception, match="its subject has no idempotency, so it cannot fail"):
        run_sabotaged(cell(subject, "idempotency", CannotFail), no_idempotency, request)


@pytest.mark.brokers("stub")
def test_nothing_is_taken_away_that_a_subject_does_not_have(
    broker: SettlingBroker, request: pytest.FixtureRequest
) -> None:
    plain = of_actor(actor(broker=broker, actor_name="plain")(plants.greet))
    _, no_retry_policy = SABOTAGE["retry"]
    run_sabotaged(cell(plain, "idempotency", CannotFail), no_retry_policy, request)


def test_a_cell_reads_what_it_aims_at(subject: Subject) -> None:
    aims = {found.row: (found.aim, found.detail) for found in cells([subject], {"greet": Greet})}
    assert aims["retry"] == ("pass", "")
    assert aims["progress"] == ("excused", "no item loop, declared shorter than 1 s")
    assert aims["chain_stop"][0] == "due"
    assert aims["chain_stop"][1].startswith("tomorrow (a day that never comes")
