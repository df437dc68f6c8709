"""The outcome of one execution."""

from datetime import timedelta

import pytest

from understudy.outcome import Disposition, Outcome
from understudy.states import State


def test_a_fresh_outcome_records_nothing() -> None:
    assert not Outcome().records_anything


@pytest.mark.parametrize(
    "outcome",
    [Outcome(state=State.SUCCESS), Outcome(fields={"retries": 0}), Outcome(marks={"ada": ""}), Outcome(claim="keep")],
)
def test_whatever_is_contributed_is_recorded(outcome: Outcome) -> None:
    assert outcome.records_anything


def test_a_decision_replaces_the_one_before() -> None:
    outcome = Outcome()
    outcome.decide(Disposition.RETRY, delay=timedelta(seconds=5).total_seconds(), reason="down")
    outcome.decide(Disposition.DONE)
    assert (outcome.disposition, outcome.delay, outcome.reason) == (Disposition.DONE, 0.0, "")


def test_a_void_outcome_keeps_only_what_is_done() -> None:
    outcome = Outcome(state=State.SUCCESS, fields={"result": b"1"}, marks={"ada": "1"}, claim="complete", claim_ttl=1)
    outcome.decide(Disposition.DONE)
    outcome.void()
    assert outcome == Outcome(marks={"ada": "1"})
