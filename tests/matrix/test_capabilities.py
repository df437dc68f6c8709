from __future__ import annotations

import pytest

from .capabilities import AWAITED
from .entries import ROWS
from .planted import Greet


def test_the_entries_in_use_wait_for_nothing() -> None:
    assert set(AWAITED) == {Greet.chain_stop.capability}, "that of the tests of the matrix itself"


@pytest.mark.parametrize("name", AWAITED)
def test_nobody_waits_for_what_exists(name: str) -> None:
    assert not AWAITED[name].exists(), f"{name!r} exists: remove it from AWAITED and write the cases"


@pytest.mark.parametrize("name", AWAITED)
def test_a_capability_says_what_it_is_and_which_rows_wait_for_it(name: str) -> None:
    assert len(AWAITED[name].waits_for.split()) > 3
    assert AWAITED[name].rows
    assert set(ROWS) >= AWAITED[name].rows
