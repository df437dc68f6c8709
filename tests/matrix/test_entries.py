from __future__ import annotations

import pytest

from .entries import Entries, cell_of, matrix_entry
from .excuses import NO_COLLECTION
from .planted import CannotFail, Greet


def test_an_entry_is_found_by_the_name_of_its_subject() -> None:
    entries = Entries()
    assert matrix_entry("greet", into=entries)(Greet) is Greet
    assert entries == {"greet": Greet}


def test_a_subject_has_one_entry() -> None:
    entries = Entries()
    matrix_entry("greet", into=entries)(Greet)
    with pytest.raises(ValueError, match="'greet' has two entries in the matrix: Greet, CannotFail"):
        matrix_entry("greet", into=entries)(CannotFail)


def test_a_cell_is_what_the_entry_has_for_the_row() -> None:
    assert cell_of(Greet, "partial_failure") is NO_COLLECTION
    assert cell_of(Greet, "retry").__func__ is Greet.retry
    assert cell_of(Greet, "no_such_row") is None
