"""Pages of members, and numbers that are short when they are regular."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.plans.pages import PAGE, Letter, pack, pages, read_page, unpack


def test_members_are_read_back_page_by_page_and_the_last_page_says_so() -> None:
    letters = [Letter(number, "q", 2, b"payload", 1.5) for number in range(PAGE + 1)]
    first, second = (read_page(data) for data in pages(letters))
    assert [*first.letters, *second.letters] == letters
    assert (len(first.letters), first.last, second.last) == (PAGE, False, True)


def test_a_group_without_members_has_no_page() -> None:
    assert list(pages([])) == []


@given(st.lists(st.integers(min_value=1, max_value=1 << 40), unique=True))
def test_numbers_are_read_back(numbers: list[int]) -> None:
    assert unpack(pack(numbers)) == numbers


def test_a_hundred_thousand_regular_numbers_take_a_few_bytes() -> None:
    assert len(pack(range(3, 300_003, 3))) < 20
