"""What is written into files, and what goes: each noted by the register of exports."""

from __future__ import annotations

import csv
import hashlib
import itertools
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.adapters import exports
from tasks.adapters.database import open_database
from tasks.cleanup_tasks import clean_up
from tasks.export_tasks import export_rows
from tasks.periodic.daily_tasks import PURGED
from tasks.periodic.monthly_tasks import archive_exports
from tests.matrix.mains.house import Call, House
from tests.matrix.mains.mains import Main, main
from understudy import clock
from understudy.runtime import installed
from understudy.scheduler.jobs import jobs_of

ROWS = 2_000


@main(export_rows, "export")
class ExportRows(Main):
    unit = f"a table of {ROWS:,} rows to CSV"

    def open(self, house: House) -> None:
        house.script(
            f"""
            CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price REAL);
            INSERT INTO goods WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
                SELECT i, 'name of ' || i, i / 4.0 FROM n;
            """
        )
        _note(house, "exports", "INSERT ON understudy_exports", "NEW.url")

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        names = [f"export-{batch}-{number}.csv" for number in range(count)]
        return [Call(export_rows.message("goods", name), name) for name in names]

    def effects(self, house: House) -> Counter[str]:
        for path in house.root.glob("export-*.csv"):
            with path.open(newline="") as file:
                assert [int(row["id"]) for row in csv.DictReader(file)] == list(range(1, ROWS + 1)), path
        registered = Counter({Path(url).name: times for url, times in house.noted("exports").items()})
        return Counter({name: times for name, times in registered.items() if name.startswith("export-")})


def _note(house: House, what: str, event: str, effect: str) -> None:
    exports.registered(open_database(), "nothing yet")  # makes the register
    house.note(what, event, effect)


def _registered(house: House, name: str, *, created_at: float, expires_at: float | None) -> str:
    """Register a file that somebody has exported; returns its URL."""
    path = house.root / name
    path.write_bytes(b"id\n1\n")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    export = exports.Export(uuid.uuid4().hex, str(path), 1, 5, sha256, created_at, expires_at)
    exports.register(open_database(), export)
    return export.url


@main(clean_up, "cleanup")
class CleanUp(Main):
    unit = "one expired export"

    def open(self, house: House) -> None:
        _note(house, "removed", "UPDATE OF removed_at ON understudy_exports", "NEW.url")

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        long_ago = clock.now() - 100 * 86_400
        names = [f"expired-{batch}-{number}.csv" for number in range(count)]
        urls = [_registered(house, name, created_at=long_ago, expires_at=long_ago + 1) for name in names]
        return [Call(clean_up.message(kinds=PURGED), url) for url in urls]

    def effects(self, house: House) -> Counter[str]:
        removed = house.noted("removed")
        assert not any(Path(url).exists() for url in removed), "struck out, and still there"
        return removed


@main(archive_exports, "periodic")
class ArchiveExports(Main):
    unit = "the exports of a month into an archive, as a tick"

    def __init__(self) -> None:
        self._months = itertools.count(1)

    def open(self, house: House) -> None:
        # A run archives the months before it too that nobody has archived, and its own month anew.
        event = "UPDATE OF archived_at ON understudy_exports WHEN OLD.archived_at IS NULL"
        _note(house, "archived", event, "NEW.url")

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        return [self._call(house, f"old-{batch}-{number}.csv") for number in range(count)]

    def _call(self, house: House, name: str) -> Call:
        month = next(self._months)
        made = datetime(1990 + month // 12, 1 + month % 12, 15, tzinfo=UTC)
        due = (made + timedelta(days=20)).replace(day=1, hour=4)
        url = _registered(house, name, created_at=made.timestamp(), expires_at=None)
        return Call(jobs_of(installed())[self.name].message(int(due.timestamp()) * 1000), url)

    def effects(self, house: House) -> Counter[str]:
        archived = house.noted("archived")
        told = Counter(
            line.partition('"url":"')[2].partition('"')[0]
            for path in house.root.glob("reports/exports-*.jsonl")
            for line in path.read_text().splitlines()
        )
        assert all(told[url] == 1 for url in archived), "noted as archived, and not in an archive"
        return archived
