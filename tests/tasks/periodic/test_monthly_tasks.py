"""Every month: the archive."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from freezegun.api import FrozenDateTimeFactory

from tasks.adapters import exports
from tests.tasks.conftest import Store

from .conftest import Tick

Drain = Callable[..., int]


def made(store: Store, id: str, day: str, *, url: str | None = None) -> exports.Export:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    export = exports.Export(id, url or id, 1, 4, "ab" * 32, at, None)
    exports.register(store.database, export)
    return export


def archived(store: Store, month: str) -> list[str]:
    lines = (store.root / "reports" / f"exports-{month}.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines]


def test_the_exports_of_the_last_month_are_written_down(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, tick: Tick
) -> None:
    made(store, "b", "2026-02-01")
    exports.strike_out(store.database, made(store, "c", "2026-02-28"))
    made(store, "d", "2026-03-01")
    made(store, "e", "2026-03-01", url="b")
    found = tick("archive_exports")
    drain()
    file = store.root / "reports" / "exports-2026-02.jsonl"
    assert found.get() == {"archives": [{"url": str(file), "rows": 2}]}
    assert archived(store, "2026-02") == ["b", "c"]


def test_after_an_outage_of_months_each_of_them_is_written_down(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, tick: Tick
) -> None:
    made(store, "a", "2025-11-30")
    exports.strike_out(store.database, made(store, "b", "2026-01-01"))
    made(store, "c", "2026-01-31")
    made(store, "d", "2026-03-01")
    found = tick("archive_exports")
    drain()
    assert [archive["rows"] for archive in found.get()["archives"]] == [1, 2, 0]
    assert (archived(store, "2025-11"), archived(store, "2026-01")) == (["a"], ["b", "c"])
    assert archived(store, "2026-02") == [], "a month of none is told too"
    assert not (store.root / "reports" / "exports-2025-12.jsonl").exists()
    assert exports.first_unarchived(store.database, before=datetime(2026, 3, 1, tzinfo=UTC).timestamp()) is None


def test_what_an_archive_has_stays_in_it(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, tick: Tick
) -> None:
    exports.strike_out(store.database, made(store, "gone", "2026-01-05"))
    tick("archive_exports")
    drain()
    # Nobody expects one of a month that is archived, but clocks differ.
    made(store, "late", "2026-01-04")
    freezer.move_to("2026-04-01 04:00:00")
    tick("archive_exports")
    drain()
    assert archived(store, "2026-01") == ["late", "gone"]
