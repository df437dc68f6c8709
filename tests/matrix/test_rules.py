"""Each rule, seen to refuse what it is there to refuse."""

from __future__ import annotations

import pytest

from . import planted as plants
from .capabilities import AWAITED
from .entries import ROWS, Due, Entry
from .excuses import NO_COLLECTION, PURE, SHORT_WORK
from .planted import CannotFail, Greet, WrongExcuses, planted
from .rules import problem_of, problems_of_entries

GREET = planted(plants.greet, **plants.OPTIONS)


def problem(entry: type[Entry], row: str) -> str:
    return problem_of(GREET, row, {"greet": entry}) or ""


def test_an_entry_in_order_has_no_problem() -> None:
    assert [problem(Greet, row) for row in ROWS] == [""] * len(ROWS)
    assert problems_of_entries([GREET], {"greet": Greet}) == []


@pytest.mark.parametrize("row", ROWS)
def test_a_registered_actor_without_an_entry_is_red_on_every_row(row: str) -> None:
    assert "greet is a registered actor without an entry" in (problem_of(GREET, row, {}) or "")


def test_an_entry_of_nobody_is_reported() -> None:
    (told,) = problems_of_entries([GREET], {"greet": Greet, "great": CannotFail})
    assert told == "CannotFail is the entry of 'great', which nobody registers; did you mean 'greet'?"


@pytest.mark.parametrize("row", ROWS)
def test_an_entry_that_lacks_a_row_is_red_there(row: str) -> None:
    class Lacking(Greet):
        pass

    setattr(Lacking, row, None)
    assert problem(Lacking, row) == f"Lacking has nothing for {row}: write a case"


def test_an_attribute_that_is_no_row_is_reported() -> None:
    class Misspelt(Greet):
        partial_failures = Due("tomorrow")

    assert problems_of_entries([GREET], {"greet": Misspelt}) == [
        "Misspelt.partial_failures is no row of the matrix; did you mean 'partial_failure'?"
    ]


def test_a_case_that_asserts_nothing_is_refused() -> None:
    assert problem(CannotFail, "retry") == "CannotFail.retry asserts nothing, so it cannot fail"
    assert problem(CannotFail, "timeout") == "CannotFail.timeout asserts nothing, so it cannot fail"


def test_a_case_in_which_no_worker_runs_is_refused() -> None:
    assert "does not ask for `drain`" in problem(CannotFail, "partial_failure")


def test_what_is_neither_case_nor_excuse_nor_due_is_refused() -> None:
    assert "is neither a case" in problem(WrongExcuses, "partial_failure")


@pytest.mark.parametrize("row", ["retry", "timeout", "chain_stop"])
def test_retry_timeout_and_chain_stop_are_never_excused(row: str) -> None:
    for excuse in (NO_COLLECTION, SHORT_WORK, PURE):
        excused = type("Excused", (Greet,), {row: excuse})
        assert f"{row} is not excused by" in problem(excused, row)


def test_an_excuse_that_the_declaration_does_not_bear_out_is_refused() -> None:
    assert problem(WrongExcuses, "idempotency") == (
        "idempotency is not excused for greet: it does not declare pure=True. Write a case"
    )


def test_due_is_refused_for_what_nobody_builds() -> None:
    assert "nobody waits for 'a better world'" in problem(WrongExcuses, "chain_stop")


def test_due_is_refused_in_a_row_that_the_capability_is_not_for() -> None:
    assert problem(WrongExcuses, "timeout") == "timeout cannot wait for 'tomorrow': write a case"


@pytest.mark.parametrize(("row", "name"), [("chain_stop", "tomorrow")])
def test_a_capability_taken_off_the_list_turns_its_cells_red(row: str, name: str) -> None:
    left = {other: capability for other, capability in AWAITED.items() if other != name}
    assert problem_of(GREET, row, {"greet": Greet}, AWAITED) is None
    assert f"nobody waits for {name!r} (any more)" in (problem_of(GREET, row, {"greet": Greet}, left) or "")


def test_due_is_refused_for_a_capability_that_exists_though_the_list_was_forgotten() -> None:
    awaited = AWAITED["tomorrow"]
    built = {"tomorrow": type(awaited)(awaited.waits_for, awaited.rows, exists=lambda: True)}
    assert "'tomorrow' exists: write a case" in (problem_of(GREET, "chain_stop", {"greet": Greet}, built) or "")
