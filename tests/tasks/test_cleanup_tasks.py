"""Clean-up: what goes, what stays, how it fails and goes on. On the stub and on a real server."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters import events, exports, sweeping, tables
from tasks.adapters.database import Database
from tasks.adapters.database_errors import DatabaseUnavailable
from tasks.adapters.file_parts import Parts
from tasks.adapters.files import find
from tasks.cleanup_tasks import clean_up
from tasks.export_tasks import export_rows
from tests.tasks.conftest import Store
from understudy import actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.deadletters import DeadLetters

Drain = Callable[..., int]
DAY = 86_400
ALL = ["exports", "quarantine", "unfinished", "dead_letters", "notes", "events"]

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def litter(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, store: Store) -> Store:
    """One old and one new thing of every kind: 40 days old, and of now."""

    @actor
    def fails() -> None:
        raise ValueError

    store.fill("goods", 3)
    for age in ("old", "new"):
        now = freezer().timestamp()
        export_rows.send("goods", f"{age}.csv", expires_in=7.0 * DAY)
        fails.send()
        drain()
        for path in (store.root / f"quarantine/{age}.csv", store.root / f".{age}.csv.0123456789abcdef.part"):
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
            os.utime(path, (now, now))
        parts = Parts(find(f"given-up-{age}.csv"), "csv", ["a"], maker=age)
        parts.write(1, [])
        os.utime(parts.directory.path, (now, now))
        tables.apply_once(store.database, scope=age, number=1, work=lambda transaction: None)
        with events.prepare(store.database).transaction() as transaction:
            events.record(transaction, [events.Event(age, "sale", now)])
            for period in events.stale(store.database, before=now + 2 * DAY):
                events.roll_up(transaction, period)
        if age == "old":
            freezer.tick(40 * DAY)
    return store


def left(store: Store, broker: RedisBroker) -> dict[str, Any]:
    with store.database.reading() as transaction:
        notes = {row["scope"] for row in transaction.select("SELECT scope FROM understudy_ledger")}
        happened = {row["id"] for row in transaction.select("SELECT id FROM understudy_events")}
    return {
        "files": {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()},
        "dead": len(list(DeadLetters(broker.storage).walk())),
        "notes": notes,
        "events": happened,
    }


def test_what_is_old_goes_and_what_is_new_stays(broker: RedisBroker, drain: Drain, litter: Store) -> None:
    before = left(litter, broker)
    message = clean_up.send()
    drain()
    removed = {"exports": 1, "quarantine": 1, "unfinished": 2, "dead_letters": 1, "notes": 1, "events": 1}
    # Dead letters are kept for seven days, and the old one went when the new one came.
    assert handle(message).get() == {"removed": {**removed, "dead_letters": 0}, "dry_run": False, "failed": []}
    after = left(litter, broker)
    assert before["files"] - after["files"] >= {"old.csv", "quarantine/old.csv", ".old.csv.0123456789abcdef.part"}
    assert {"new.csv", "quarantine/new.csv", ".new.csv.0123456789abcdef.part"} <= after["files"]
    assert (after["notes"], after["events"], after["dead"]) == ({"new"}, {"new"}, 1)


def test_a_dry_run_counts_the_same_and_removes_nothing(broker: RedisBroker, drain: Drain, litter: Store) -> None:
    before = left(litter, broker)
    dry = clean_up.send(dry_run=True)
    drain()
    assert handle(dry).get()["dry_run"]
    assert left(litter, broker) == before
    wet = clean_up.send()
    drain()
    assert handle(dry).get()["removed"] == handle(wet).get()["removed"]


def test_dead_letters_go_by_their_age(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, litter: Store
) -> None:
    freezer.tick(2 * DAY)
    message = clean_up.send(["dead_letters"], older_than=1.0 * DAY)
    drain()
    assert handle(message).get()["removed"] == {"dead_letters": 1}
    assert left(litter, broker)["dead"] == 0


def test_a_thousand_exports_go_in_one_transaction(
    drain: Drain, freezer: FrozenDateTimeFactory, litter: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in one of its own is a wait for the disk each."""
    for n in range(20):
        export_rows.send("goods", f"more-{n}.csv", expires_in=1.0)
    drain()
    freezer.tick(2)
    struck, strike_out = list[int](), exports.strike_out

    def noted(database: Database, *gone: exports.Export) -> int:
        assert not any(Path(export.url).exists() for export in gone), "the file first"
        struck.append(len(gone))
        return strike_out(database, *gone)

    monkeypatch.setattr(exports, "strike_out", noted)
    message = clean_up.send(["exports"])
    drain()
    assert handle(message).get()["removed"] == {"exports": 21}
    assert struck == [21]


def test_an_export_that_was_made_again_stays(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, litter: Store
) -> None:
    export_rows.send("goods", "old.csv", expires_in=7.0 * DAY)
    drain()
    message = clean_up.send(["exports"])
    drain()
    assert handle(message).get()["removed"] == {"exports": 0}
    assert (litter.root / "old.csv").exists()


def test_a_file_that_somebody_put_in_the_place_of_an_export_stays(drain: Drain, litter: Store) -> None:
    (litter.root / "old.csv").write_text("something else, of another length altogether")
    message = clean_up.send(["exports"])
    drain()
    assert handle(message).get()["removed"] == {"exports": 1}
    assert (litter.root / "old.csv").exists()
    assert exports.expired(litter.database, now=1e12)[0].url.endswith("new.csv")


def test_an_export_whose_file_cannot_be_removed_stops_nothing_and_is_told(
    drain: Drain, freezer: FrozenDateTimeFactory, litter: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILES_PROTOCOLS", "s3,nowhere")
    for n, url in enumerate(("nowhere://a/b.csv", "s3://a/b.csv")):
        exports.register(litter.database, exports.Export(f"e{n}", url, 1, 4, "ab" * 32, 0.0, 1.0))
    message = clean_up.send(["exports", "quarantine"])
    for _ in range(12):
        drain()
        freezer.tick(600)
    result = handle(message).get()
    assert [failed["kind"] for failed in result["failed"]] == ["exports"]
    assert "the files of 2 could not be removed; of the first: " in result["failed"][0]["error"]
    assert not (litter.root / "old.csv").exists()
    assert not (litter.root / "quarantine/old.csv").exists()


def test_a_kind_that_fails_is_tried_again_and_the_others_are_not(
    drain: Drain, freezer: FrozenDateTimeFactory, litter: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = sweeping.old_quarantine

    def quarantine(*args: Any, **options: Any) -> Any:
        looked.append("quarantine")
        return real(*args, **options)

    def away(*args: Any, **options: Any) -> Any:
        looked.append("notes")
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(sweeping, "old_quarantine", quarantine)
    monkeypatch.setattr(tables, "forget_before", away)
    message = clean_up.send(["quarantine", "notes", "events"])
    for _ in range(9):
        drain()
        freezer.tick(600)
    assert looked == ["quarantine", *["notes"] * 9]
    assert handle(message).get()["failed"] == [{"kind": "notes", "error": "away"}]


@pytest.mark.parametrize(
    ("arguments", "options", "why"),
    [
        ((["quarantin"],), {}, "did you mean 'quarantine'"),
        ((["everything"],), {}, ", ".join(ALL)),
        ((), {"older_than": -1.0}, "from 0"),
        ((), {"older_than": float("nan")}, "from 0"),
    ],
)
def test_what_makes_no_sense_removes_nothing(
    arguments: Any, options: Any, why: str, broker: RedisBroker, drain: Drain, litter: Store
) -> None:
    before = left(litter, broker)
    message = clean_up.send(*arguments, **options)
    drain()
    with pytest.raises(ValueError, match=why):
        handle(message).get()
    assert {**left(litter, broker), "dead": 0} == {**before, "dead": 0}


def test_what_was_given_up_in_a_store_goes_where_clean_up_may_look(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILES_SWEPT", "memory://given-up/exports")
    parts = Parts(find("memory://given-up/exports/goods.csv"), "csv", ["a"], maker="gone")
    parts.write(1, [{"a": 1}])
    parts.write(2, [{"a": 1}])
    freezer.tick(40 * DAY)
    dry, wet = (clean_up.send(["unfinished"], dry_run=dry_run) for dry_run in (True, False))
    drain()
    assert handle(dry).get()["removed"] == handle(wet).get()["removed"] == {"unfinished": 1}
    assert parts.rows == 0


def test_everything_is_kept_for_thirty_days_unless_somebody_says_it() -> None:
    assert inspect.signature(clean_up.fn).parameters["older_than"].default == timedelta(days=30).total_seconds()
