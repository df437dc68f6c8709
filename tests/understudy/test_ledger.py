from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import DecodeError
from understudy.ledger import LEDGER, Ledger, decoded, link

NUMBERS = st.integers(0, 10**9)


@given(st.builds(Ledger, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.text(), st.text()))
def test_a_ledger_is_read_as_it_was_written(ledger: Ledger) -> None:
    assert decoded(ledger.encoded()) == ledger


def test_nothing_is_written_as_nothing() -> None:
    assert Ledger().encoded() == ""
    assert decoded("") == Ledger()


def test_a_ledger_is_short_and_told_from_marks_of_items() -> None:
    assert Ledger(done=5, position=5, after="5").encoded() == LEDGER + '{"done":5,"position":5,"after":"5"}'


@pytest.mark.parametrize("mark", ["1", "@", "@[]", '@{"done":"x"}'])
def test_what_is_no_ledger_is_refused(mark: str) -> None:
    with pytest.raises(DecodeError, match="items of this message"):
        decoded(mark)


def chain(keys: list[str]) -> str:
    linked = ""
    for key in keys:
        linked = link(linked, key)
    return linked


@given(st.lists(st.text(), max_size=5), st.lists(st.text(), max_size=5))
def test_two_sequences_have_the_same_chain_only_when_they_are_the_same(one: list[str], other: list[str]) -> None:
    assert (chain(one) == chain(other)) == (one == other)


def test_a_key_may_be_any_text() -> None:
    assert chain(["\ud800"]) != chain(["?"])
