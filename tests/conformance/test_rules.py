"""What makes a verdict, or the test behind it, wrong."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from .behaviours import BEHAVIOURS, TESTS, WORDS, Behaviour, Outcome, agrees, got, ids_of
from .record import changes

#: How many behaviours each group of the catalogue has.
GROUPS = {
    "S": 27,
    "D": 6,
    "W": 10,
    "E": 6,
    "V": 9,
    "A": 9,
    "K": 7,
    "T": 16,
    "R": 23,
    "L": 1,
    "P": 2,
    "C": 25,
    "G": 12,
    "H": 21,
    "B": 9,
}


def modules() -> list[ModuleType]:
    """The files with the tests of behaviours, imported."""
    here = Path(__file__).parent
    return [importlib.import_module(f"{__package__}.{path.stem}") for path in sorted(here.glob("test_*.py"))]


def problems(behaviours: dict[str, Behaviour]) -> list[str]:
    """A line for each verdict that says more than it may."""
    found = []
    for id, one in behaviours.items():
        if one.verdict not in WORDS:
            found.append(f"{id}: the verdict {one.verdict!r} is none of {', '.join(WORDS)}")
        if not one.scenario or not one.celery:
            found.append(f"{id}: there is no scenario, or no outcome of Celery to compare with")
        if one.verdict == "same" and (one.understudy or one.reason):
            found.append(f"{id}: what is the same has no outcome of its own and needs no reason")
        if one.verdict != "same" and not one.reason:
            found.append(f"{id}: {one.verdict} needs a reason")
        if one.verdict == "differs" and all(agrees(one.celery.get(n), v) for n, v in one.understudy.items()):
            found.append(f"{id}: it does not differ from what Celery does")
        if one.understudy.keys() - one.celery.keys():
            found.append(
                f"{id}: nobody says what Celery does about {sorted(one.understudy.keys() - one.celery.keys())}"
            )
    return found


#: The behaviours of these groups of which the design's own table says that they differ, and why.
IN_THE_DESIGN = {
    *("T03", "T04", "T08", "T09", "S12", "S17", "S19", "D01", "D03"),
    *("W01", "W02", "W03", "W05", "W06", "W08", "V03", "B06"),
    *(f"A0{n}" for n in range(2, 9)),
    *("C10", "C11", "H11"),
}
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "conformance.md"


def listed(page: str) -> set[str]:
    """The behaviours in the table of differences beyond the design's."""
    return set(re.findall(r"^\| ([A-Z]\d\d) \|", page, flags=re.MULTILINE))


def test_every_difference_is_in_the_designs_table_or_in_ours() -> None:
    differing = {id for id, one in BEHAVIOURS.items() if one.verdict == "differs"}
    assert differing - IN_THE_DESIGN == listed(PAGE.read_text(encoding="utf-8"))
    assert listed("| S03 | a | b | c |\n|---|\n| nothing | S04 |") == {"S03"}


def test_every_verdict_is_honest() -> None:
    assert problems(BEHAVIOURS) == []


def test_dishonest_verdicts_are_reported() -> None:
    one = Behaviour("X01", "a scenario", True, {"state": "SUCCESS"}, {}, "same", "")
    wrong = {
        "a": replace(one, verdict="fine", reason="r"),  # type: ignore[arg-type]
        "b": replace(one, celery={}),
        "c": replace(one, understudy={"state": "FAILURE"}),
        "d": replace(one, verdict="due"),
        "e": replace(one, verdict="differs", reason="r", understudy={"state": "SUCCESS"}),
        "f": replace(one, verdict="differs", reason="r", understudy={"runs": 1}),
    }
    assert [line[0] for line in problems(wrong)] == ["a", "b", "c", "d", "e", "f"]


def test_every_behaviour_of_the_groups_is_there() -> None:
    expected = [f"{group}{number:02}" for group, count in GROUPS.items() for number in range(1, count + 1)]
    assert list(BEHAVIOURS) == expected


def test_every_behaviour_has_exactly_one_test_and_each_test_one_behaviour() -> None:
    tests = {
        test.__name__: test
        for module in modules()
        for name, test in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_") and ids_of(test)
    }
    shown = sorted(ids_of(test) for test in tests.values())
    assert shown == sorted(id for id, one in BEHAVIOURS.items() if one.verdict != "due")
    for id, marked in TESTS.items():
        assert [ids_of(test) for test in marked] == [id], f"{id} is shown by a test of its own name, and by one"
    assert sorted(TESTS) == shown


def test_every_test_compares_with_what_is_recorded() -> None:
    for module in modules():
        assert module
    for id, (test,) in TESTS.items():
        assert "outcome" in inspect.signature(test).parameters, f"{id}: it compares nothing"


def test_a_test_that_leaves_something_out_is_reported() -> None:
    outcome = Outcome(BEHAVIOURS["V01"])
    outcome(state="REVOKED")
    with pytest.raises(AssertionError, match="does not look at failed, get, ready, runs, successful"):
        outcome.finish()
    with pytest.raises(AssertionError, match="V01 runs: 1, expected 0"):
        outcome(runs=1)
    with pytest.raises(AssertionError, match="not part of the recorded outcome"):
        outcome(weather="fine")


def test_a_comparison_knows_what_classes_are_called_here() -> None:
    theirs = {"raised": "celery.exceptions.TaskRevokedError", "args": ["expired"]}
    assert agrees(theirs, {"raised": "understudy.errors.Revoked", "args": ["expired"]})
    assert not agrees(theirs, {"raised": "understudy.errors.Revoked", "args": ["revoked"]})
    assert not agrees(theirs, {"raised": "understudy.errors.ResultTimeout", "args": ["expired"]})
    assert not agrees(theirs, {"returned": None})
    assert agrees({"raised": "builtins.KeyError"}, {"raised": "builtins.KeyError", "args": ["a"]})
    assert agrees([theirs], [{"raised": "understudy.errors.Revoked", "args": ["expired"]}])
    assert not agrees([1], [1, 2])
    assert not agrees(0, False)


def test_what_a_call_does_is_written_as_it_is_recorded() -> None:
    empty: dict[str, int] = {}
    assert got(lambda: 1) == {"returned": 1}
    assert got(lambda: ValueError("x")) == {"returned": "exception:ValueError('x')"}
    assert got(lambda: empty["a"]) == {"raised": "builtins.KeyError", "args": ["a"]}


def test_a_celery_that_does_something_else_by_now_is_reported() -> None:
    expired = {"raised": "celery.exceptions.TaskRevokedError", "args": ["expired"]}
    timeout = {"raised": "celery.exceptions.TimeoutError", "args": ["whatever it says"]}
    assert changes({"E02": {"get": expired, "runs": 0}, "S10": {"get": timeout}}) == []
    first, second = changes({"V04": {"state": "REVOKED"}, "E02": {"get": {**expired, "args": ["late"]}}})
    assert first == "V04 state: 'REVOKED', recorded 'SUCCESS'"
    assert second.startswith("E02 get: {'raised': 'celery.exceptions.TaskRevokedError', 'args': ['late']}, recorded")
