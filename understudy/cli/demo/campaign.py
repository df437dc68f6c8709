"""The campaign of the demo: a CSV file that ships with it, and what must become of each line."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from understudy.errors import UnderstudyError

#: What must become of a recipient: mailed; refused by the server; not an address; the same person once more.
Expected = Literal["ok", "refused", "invalid", "duplicate"]


class CampaignError(UnderstudyError):
    """The campaign file cannot be used; the message names the line and the column."""


@dataclass(frozen=True)
class Row:
    """One line of the campaign file."""

    email: str
    name: str
    expected: Expected


def shipped() -> list[Row]:
    """The campaign that ships with the project: some 550 recipients."""
    text = (resources.files(__package__) / "campaign.csv").read_text(encoding="utf-8")
    return parse(text.splitlines(), name="campaign.csv")


def read(path: Path) -> list[Row]:
    """A campaign file of one's own.

    Raises:
      CampaignError: it cannot be read, or a line is wrong.
    """
    try:
        return parse(path.read_text(encoding="utf-8-sig").splitlines(), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"{path} cannot be read: {error}") from None


def parse(lines: Iterable[str], *, name: str) -> list[Row]:
    """Rows with the columns email, name and (optional) expected, ``ok`` when it is missing or empty."""
    reader = csv.DictReader(lines)
    columns = set(reader.fieldnames or ())
    if not {"email", "name"} <= columns:
        raise CampaignError(f"{name}: the first line must name the columns email and name (and, optionally, expected)")
    rows = []
    for line in reader:
        expected = line.get("expected") or "ok"
        if expected not in get_args(Expected):
            known = ", ".join(get_args(Expected))
            raise CampaignError(f"{name}, line {reader.line_num}: expected is one of {known}, not {expected!r}")
        rows.append(Row(line["email"] or "", line["name"] or "", expected))  # type: ignore[arg-type]  # checked above
    if not rows:
        raise CampaignError(f"{name} has no recipients below its first line")
    return rows
