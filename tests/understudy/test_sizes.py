from __future__ import annotations

import pytest

from understudy.errors import DeclarationError
from understudy.sizes import parsed, to_bytes, written


@pytest.mark.parametrize(
    ("value", "size"), [(1, 1), ("10", 10), ("5 b", 5), ("64KiB", 65_536), ("2 MiB", 2_097_152), ("1gib", 2**30)]
)
def test_a_size_is_a_number_of_bytes_or_a_text_with_a_unit(value: int | str, size: int) -> None:
    assert to_bytes(value, field="x") == size


@pytest.mark.parametrize("value", [0, -1, True, 1.5, None, "", "many", "5 MB", "-1", "1.5GiB", "0"])
def test_anything_else_is_refused_with_the_name_of_the_field(value: object) -> None:
    with pytest.raises(DeclarationError, match="memory_limit is a number of bytes or a text such as '512MiB', not"):
        to_bytes(value, field="memory_limit")


def test_what_is_no_size_is_none_and_sizes_are_written_for_people() -> None:
    assert parsed("5 MB") is None
    assert written(64 * 2**20) == "64 MiB"
    assert written(71.25 * 2**20) == "71.25 MiB"
