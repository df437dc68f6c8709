"""The campaign file: what ships, and what is said of a wrong one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from understudy.cli.demo import campaign


def test_the_shipped_campaign_has_more_than_500_people_some_invalid_and_one_twice() -> None:
    rows = campaign.shipped()
    kinds = Counter(row.expected for row in rows)
    assert kinds["ok"] >= 500
    assert kinds["invalid"] >= 5
    assert kinds["refused"] >= 5
    assert kinds["duplicate"] == 1
    (twice,) = (row for row in rows if row.expected == "duplicate")
    assert sum(row.email.casefold() == twice.email.casefold() for row in rows) == 2


def test_a_file_of_ones_own_needs_no_expectations(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes("\ufeffemail,name\nada@mail.example,Ada\n".encode())
    assert campaign.read(file) == [campaign.Row("ada@mail.example", "Ada", "ok")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("address,name\na@b.example,A\n", "must name the columns email and name"),
        ("email,name\n", "no recipients"),
        ("", "must name the columns"),
        ("email,name,expected\na@b.example,A,okay\n", "line 2: expected is one of ok, refused, invalid, duplicate"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text(text)
    with pytest.raises(campaign.CampaignError, match=said):
        campaign.read(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(campaign.CampaignError, match="cannot be read"):
        campaign.read(tmp_path / "none.csv")
