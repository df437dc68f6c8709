"""What keeps the house: clean-up, reports, and the archive of exports."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dramatiq import Message

from tasks.adapters import events, exports, tables
from tasks.adapters.database import open_database
from tasks.analytics_tasks import record_events
from tasks.cleanup_tasks import clean_up
from tasks.periodic.daily_tasks import mail_digest
from tasks.periodic.hourly_tasks import alert_on_dead_letters
from tasks.periodic.monthly_tasks import archive_exports
from tasks.periodic.weekly_tasks import report_week
from tests.matrix.mains.house import House
from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import TIMEOUT, Run
from tests.matrix.sizes.scenes import scene
from understudy import clock
from understudy.actors import Actor
from understudy.deadletters import DeadLetters
from understudy.runtime import installed
from understudy.scheduler.jobs import jobs_of
from understudy.testing.conditions import wait_until

DAY = 86_400.0
ROWS = b"id,name\n" + b"1,a name\n" * 100
EXPORT = (
    "INSERT INTO understudy_exports (id, url, rows, bytes, sha256, created_at, expires_at) "
    "VALUES (:id, :url, 100, :bytes, :sha256, :at, :expires_at)"
)


@scene(mail_digest, alert_on_dead_letters, report_week)
def reports(run: Run) -> Iterator[Figure]:
    """Each counts the dead letters, and is mailed to everybody who reads reports."""
    dead, readers = run.of(10_000, 20), [f"reader{n}@example.com" for n in range(run.of(100, 2))]
    run.house.environment["REPORTS_TO"] = ",".join(readers)
    _die(run, dead)
    jobs: list[Actor[[], Any]] = [mail_digest, alert_on_dead_letters, report_week]
    for number, job in enumerate(jobs, 1):
        done = run.work([_tick(job.actor_name)])
        (result,) = done.results
        assert result["mailed"] == len(readers)
        wait_until(lambda n=number: _mailed(run) == dict.fromkeys(readers, n), timeout=TIMEOUT, what="all mails")  # type: ignore[misc]
        if job is report_week:
            assert Path(result["url"]).read_text().splitlines()[1:] == [f"analytics,record_events,{dead}"]
        else:
            assert result["dead"] == dead
        on = f"{dead:,} dead letters, mailed to {len(readers)} readers, as a tick"
        yield done.figure(job.actor_name, on, dead, "dead letters", "the count; each reader has one mail")


@scene(clean_up)
def cleaning(run: Run) -> Iterator[Figure]:
    """All that is of no use goes, and nothing else."""
    many, stays = run.of(10_000, 20), run.of(1_000, 5)
    house = run.house
    _litter(house, many, stays)
    _die(run, many)
    there = {"exports": many, "quarantine": many, "unfinished": 2 * many // 10, "dead_letters": many}
    there |= {"notes": many, "events": 10 * many}
    for dry_run in (True, False):
        done = run.work([clean_up.message(older_than=0.0, dry_run=dry_run)])
        (result,) = done.results
        assert result == {"removed": there, "dry_run": dry_run, "failed": []}
        left = sum(path.is_file() for path in house.root.glob("[!t]*/**/*"))
        assert left == (stays if not dry_run else stays + 2 * many + 11 * many // 10)
        total = sum(there.values())
        on = f"{many:,} each of expired exports, quarantine files, dead letters and notes, {10 * many:,} events, "
        on += f"{there['unfinished']:,} unfinished files and directories" + (", only counted" if dry_run else "")
        yield done.figure("clean_up", on, total, "things", f"the counts; {stays:,} other exports stay")
    assert house.ask("SELECT COUNT(*) FROM understudy_exports WHERE removed_at IS NULL") == stays
    for table in ("understudy_events", "understudy_ledger"):
        assert house.ask(f"SELECT COUNT(*) FROM {table}") == 0
    assert not list(DeadLetters(house.plant.broker.storage).walk())


@scene(archive_exports)
def archive(run: Run) -> Iterator[Figure]:
    """Each export of the last months is in the archive of its month, once."""
    months, many = 3, run.of(30_000, 10)
    due = datetime(2026, 3, 1, 4, tzinfo=UTC)
    first = [datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)]
    exports.registered(open_database(), "nothing yet")  # makes the register
    with open_database().transaction() as transaction:
        for month in first:
            step = 27 * DAY / many
            transaction.execute(EXPORT, [_row(f"{month:%m}-{n}", month.timestamp() + n * step) for n in range(many)])
    done = run.work([jobs_of(installed())["archive_exports"].message(int(due.timestamp()) * 1000)])
    (result,) = done.results
    assert [archive["rows"] for archive in result["archives"]] == [many] * months
    told: Counter[str] = Counter()
    for found in result["archives"]:
        with Path(found["url"]).open() as lines:
            told.update(json.loads(line)["id"] for line in lines)
    assert told == {f"{month:%m}-{n}": 1 for month in first for n in range(many)}
    total = months * many
    yield done.figure(
        "archive_exports",
        f"{total:,} exports of {months} months, as a tick",
        total,
        "exports",
        "each is in the archive of its month, once",
    )


def _tick(name: str) -> Message[Any]:
    return jobs_of(installed())[name].message(int(clock.now() * 1000))


def _mailed(run: Run) -> Counter[str]:
    return Counter(mail.recipient for mail in run.house.smtp.journal())


def _die(run: Run, count: int) -> None:
    """So many messages that no retry would help."""
    run.prepare(record_events.message(None) for _ in range(count))  # that is what it dies of


def _row(name: str, at: float, *, url: str = "gone.csv", expires_at: float | None = None) -> dict[str, Any]:
    sha256 = hashlib.sha256(ROWS).hexdigest()
    return {"id": name, "url": url, "bytes": len(ROWS), "sha256": sha256, "at": at, "expires_at": expires_at}


def _litter(house: House, many: int, stays: int) -> None:
    """What is to go: files, directories, rows; and exports that are to stay."""
    database, old = open_database(), clock.now() - 100 * DAY
    exports.registered(database, "nothing yet")
    tables.applied(database, "nothing yet")
    events.prepare(database)

    def write(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ROWS)
        return str(path)

    files = house.root / "exports"
    for n in range(many):
        write(house.root / f"quarantine/{n}.csv")
    for n in range(many // 10):
        write(files / f".out.csv.{n:016x}.part")
        for part in range(10):
            write(files / f".out{n}.csv.{n:016x}.parts/{part:06}.100.csv")
    gone = [_row(f"old {n}", old, url=write(files / f"old-{n}.csv"), expires_at=old + n) for n in range(many)]
    kept = [_row(f"new {n}", old, url=write(files / f"new-{n}.csv")) for n in range(stays)]
    with database.transaction() as transaction:
        transaction.execute(EXPORT, [*gone, *kept])
        transaction.execute(
            "INSERT INTO understudy_ledger VALUES (:scope, 1, '1', '2001-01-01T00:00:00+00:00')",
            [{"scope": f"import {n}"} for n in range(many)],
        )
        transaction.execute(
            "INSERT INTO understudy_events VALUES (:id, 'sale', :at, 1.0, 'somebody')",
            [{"id": f"event {n}", "at": old + n} for n in range(10 * many)],
        )
