from __future__ import annotations

from dataclasses import replace
from datetime import date

from .figures import MIB, Figure, merged, page, subject_of

EXPORT = Figure("export_rows", "1,000 rows to CSV", 1_000, "rows", 0.5, 60 * MIB, 130 * MIB, "count")
MAIL = Figure("send_email", "3 mails", 3, "mails", 2.0, 70 * MIB, 0, "each arrived once")


def test_a_line_has_the_size_the_time_the_rate_and_the_memory() -> None:
    text = page([EXPORT, MAIL], on=date(2026, 3, 1), seconds=120, without=["PostgreSQL"])
    assert "on 2026-03-01: " in text
    assert "; 2 minutes for all of it" in text
    assert "; there was no PostgreSQL. " in text
    assert "| `export_rows` | 1,000 rows to CSV | 0.5 | 2,000 rows | 60 | 130 | count |" in text
    assert "| `send_email` | 3 mails | 2.0 | 1.5 mails | 70 | – | each arrived once |" in text  # noqa: RUF001


def test_whoever_waits_is_told_the_same() -> None:
    assert MAIL.line == "send_email: 3 mails: 2.0 s, 1.5 mails/s, worker 70 MiB, body – MiB"  # noqa: RUF001


def test_lines_that_are_measured_again_take_the_place_of_the_old_ones_and_say_their_day() -> None:
    text = page([EXPORT, EXPORT, MAIL], on=date(2026, 3, 1), seconds=120)
    faster, other = replace(EXPORT, seconds=0.25), replace(MAIL, subject="remind")
    lines = merged(text, [faster, other], on=date(2026, 3, 2)).splitlines()
    assert [subject_of(line) for line in lines if subject_of(line)] == ["export_rows", "send_email", "remind"]
    assert lines[-3].startswith("| `export_rows` | 1,000 rows to CSV (measured on 2026-03-02) | 0.2 | 4,000 rows | ")
    assert "(measured on" not in merged(text, [faster], on=date(2026, 3, 1))
    assert lines[:-3] == text.splitlines()[:-3]
