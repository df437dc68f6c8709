from pathlib import Path

import pytest
from freezegun import freeze_time

from understudy.testing.smtp_journal import Delivery, Event, Journal, counts, deliveries, read

MAIL = {"recipient": "ada@mail.example", "message_id": "<1@x>", "size": 10, "connection": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "smtp.jsonl"


def test_a_line_can_be_read_as_soon_as_it_is_recorded(path: Path) -> None:
    with freeze_time("1970-01-01 00:01:00"), Journal(path) as journal:
        journal.record(Event.CONNECTED, connection=1)
        journal.record(Event.ACCEPTED, **MAIL)
        assert next(read(path)) == {"event": "connected", "time": 60.0, "connection": 1}
        assert deliveries(path) == [Delivery("ada@mail.example", "<1@x>", 60.0, 10, 1)]


def test_a_second_run_goes_on_in_the_same_journal(path: Path) -> None:
    for _ in range(2):
        with Journal(path) as journal:
            journal.record(Event.ACCEPTED, **MAIL)
    assert len(deliveries(path)) == 2


def test_events_are_counted_and_absent_ones_are_zero(path: Path) -> None:
    with Journal(path) as journal:
        for event in (Event.REFUSED, Event.REFUSED, Event.DROPPED):
            journal.record(event)
    assert counts(path) == {
        "connected": 0, "accepted": 0, "refused": 2, "greylisted": 0, "dropped": 1, "unavailable": 0,
    }  # fmt: skip


def test_a_line_that_is_still_being_written_is_left_out(path: Path) -> None:
    with Journal(path) as journal:
        journal.record(Event.CONNECTED)
    with path.open("a") as file:
        file.write('{"event": "acc')
    assert [entry["event"] for entry in read(path)] == ["connected"]


def test_no_journal_is_an_empty_one(path: Path) -> None:
    assert list(read(path)) == []
