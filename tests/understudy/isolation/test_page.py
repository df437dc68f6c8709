from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from understudy.isolation.page import SIZE, Page, new_page


@pytest.fixture
def sides() -> Iterator[tuple[Page, Page]]:
    """The side that notes, and the side that takes."""
    taking = new_page()
    noting = Page(os.dup(taking.fileno))
    yield noting, taking
    noting.close()
    taking.close()


def test_the_last_note_is_taken_once(sides: tuple[Page, Page]) -> None:
    noting, taking = sides
    assert taking.take() is None
    assert noting.put(b"one")
    assert noting.put(b"two")
    assert taking.take() == b"two"
    assert taking.take() is None
    assert noting.put(b"two")
    assert taking.take() == b"two"


def test_what_is_cleared_is_not_taken(sides: tuple[Page, Page]) -> None:
    noting, taking = sides
    noting.put(b"one")
    taking.clear()
    assert taking.take() is None
    noting.put(b"two")
    noting.clear()
    assert taking.take() is None


def test_what_has_no_room_is_refused(sides: tuple[Page, Page]) -> None:
    noting, taking = sides
    assert not noting.put(b"x" * SIZE)
    assert noting.put(b"x" * (SIZE - 100))
    assert taking.take() == b"x" * (SIZE - 100)


def test_a_note_that_is_being_written_waits_for_the_next_look(sides: tuple[Page, Page]) -> None:
    noting, taking = sides
    noting.put(b"one")
    noting._memory[16:19] = b"two"  # the note is there, and its head not yet
    assert taking.take() is None
    noting.put(b"two")
    assert taking.take() == b"two"
