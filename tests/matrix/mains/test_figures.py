from __future__ import annotations

from datetime import date

from tests.house.project import ROOT

from .figures import Figure, page
from .mains import MAINS
from .trials import TRIALS

assert TRIALS  # importing it has filled MAINS
PAGE = ROOT / "docs/reference/throughput.md"


def test_a_line_has_the_times_of_one_message_and_their_ratio() -> None:
    text = page([Figure(MAINS["email"], 10, 0.2, 0.5, 100 * 1024**2)], on=date(2026, 3, 1))
    assert "on 2026-03-01: " in text
    assert "| `send_email` | one mail | 20.0 | 50.0 | 20 | 2.5 |" in text
    assert text.endswith("more than 100 MiB.\n")


def test_the_page_has_a_line_for_every_main_actor() -> None:
    told = [line.split(" | ")[:2] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    here = [[f"| `{MAINS[domain].name}`", MAINS[domain].unit] for domain in sorted(MAINS)]
    assert told == here, "the page is stale: run `make throughput`"
