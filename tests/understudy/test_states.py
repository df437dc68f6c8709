"""Celery's states."""

import pytest

from understudy.states import TERMINAL, State


def test_the_states_are_celerys() -> None:
    assert set(State) == {"PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"}


@pytest.mark.parametrize("state", State)
def test_a_state_is_its_name(state: State) -> None:
    assert state == state.name == str(state)
    assert State(state.value) is state


def test_success_failure_and_revoked_are_terminal() -> None:
    assert {state for state in State if state.terminal} == TERMINAL == {"SUCCESS", "FAILURE", "REVOKED"}
