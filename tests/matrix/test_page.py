"""The page of the documentation is what the matrix gives."""

from __future__ import annotations

import dataclasses

from tests.house.project import ROOT

from . import cases
from . import planted as plants
from .cells import cells
from .entries import ENTRIES
from .mains.mains import MAINS
from .mains.trials import trials
from .page import page, promised
from .planted import Greet, planted
from .subjects import subjects
from .verdicts import WORKERS, Verdicts

assert cases  # importing it has filled ENTRIES
PAGE = ROOT / "docs/reference/matrix.md"


def greeted(**options: str) -> Verdicts:
    subject = planted(plants.greet, **plants.OPTIONS)
    return promised(cells([dataclasses.replace(subject, **options)], {"greet": Greet}))  # type: ignore[arg-type]


def test_the_page_says_what_the_subjects_and_their_entries_give() -> None:
    given = page(promised(cells(subjects(), ENTRIES)), promised(trials(), [WORKERS]))
    assert PAGE.read_text() == given, "the page is stale: run `make matrix-page`"


def test_a_line_has_subject_kind_and_one_word_where_the_brokers_agree() -> None:
    lines = page(greeted()).splitlines()
    assert "| subject | kind | retry | timeout | partial failure | chain stop | progress | idempotency |" in lines
    assert "| `greet` | actor | pass | pass | excused | due | excused | pass |" in lines
    assert "- excused: takes no collection and no canvas: greet partial failure" in lines
    assert lines[-1] == "- 1 subject x 6 rows x 2 brokers: 6 pass, 0 fail, 4 excused, 2 due"


def test_two_words_where_they_do_not() -> None:
    verdicts = greeted()
    del verdicts.cells["greet"]["retry"]["server"]
    assert "| `greet` | actor | pass / FAIL | pass |" in page(verdicts)


def test_a_subject_of_another_kind_or_excuse_or_without_an_entry_makes_another_page() -> None:
    forgotten = promised(cells([planted(plants.greet, **plants.OPTIONS)], {}))
    assert "| `greet` | actor | FAIL | FAIL | FAIL | FAIL | FAIL | FAIL |" in page(forgotten)
    assert len({page(greeted()), page(greeted(kind="workflow")), page(forgotten)}) == 3


def test_the_main_actors_stand_below_with_what_is_promised_of_them() -> None:
    lines = page(greeted(), promised(trials(), [WORKERS])).splitlines()
    assert "| main actor | of | throughput | time out | server restart | worker kill |" in lines
    assert "| `send_webhook` | notification | pass | pass | pass | pass |" in lines
    assert "| `send_webhook` | one webhook, each to another host | once, FAILURE | twice, SUCCESS |" in lines
    assert f"- {len(MAINS)} subjects x 4 rows: {4 * len(MAINS)} pass, 0 fail, 0 excused, 0 due" in lines


def test_a_main_actor_that_did_not_pass_a_trial_makes_another_page() -> None:
    found = promised(trials(), [WORKERS])
    del found.cells["send_email"]["worker_kill"]
    assert "| `send_email` | email | pass | pass | pass | FAIL |" in page(greeted(), found)
