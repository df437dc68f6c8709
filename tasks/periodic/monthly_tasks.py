"""Every month."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypedDict

from tasks.adapters import exports
from tasks.adapters.database import Database, open_database
from tasks.adapters.files import find, open_rows, open_writer
from tasks.adapters.report_settings import ReportSettings
from tasks.periodic.reporting import due_at
from tasks.utils.error_handlers import STORE_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, clock, periodic
from understudy.settings import load

COLUMNS = ["id", "url", "rows", "bytes", "sha256", "created_at", "expires_at"]


class Archive(TypedDict):
    """The archive of a month, and how many exports it has."""

    url: str
    rows: int


class Archived(TypedDict):
    """The archives that were written, the oldest first."""

    archives: list[Archive]


@periodic(cron="0 4 1 * *", catch_up="latest")
@actor(
    queue_name="maintenance",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=30),
    expected_duration=0.5,
    idempotency=Idempotency(ttl=timedelta(days=30)),
)
def archive_exports() -> Archived:
    """Write down for good which exports were made in the last month: where each was, and what was in it, also of
    those that are gone. Earlier months of which nobody has written some, after an outage say, come first."""
    this_month = _month_of(due_at())
    register, archives, last_month = open_database(), list[Archive](), _month_of(this_month - timedelta(days=1))
    while (oldest := exports.first_unarchived(register, before=last_month.timestamp())) is not None:
        archives.append(_archive(register, _month_of(clock.utc(oldest))))
    archives.append(_archive(register, last_month))
    return {"archives": archives}


def _archive(register: Database, month: datetime) -> Archive:
    url = f"{load(ReportSettings).directory}/exports-{month:%Y-%m}.jsonl"
    start, end = month.timestamp(), _month_of(month + timedelta(days=32)).timestamp()
    # What an earlier run wrote stays: some of it may have left the register.
    known = _written(url) | {export.id: vars(export) for export in exports.created(register, start=start, end=end)}
    with open_writer(url, COLUMNS) as writer:
        writer.write(sorted(known.values(), key=lambda export: (export["created_at"], export["id"])))
    exports.archived(register, start=start, end=end)
    return {"url": writer.published.url, "rows": writer.published.rows}


def _written(url: str) -> dict[str, dict[str, Any]]:
    if not find(url).exists():
        return {}
    with open_rows(url) as reader:
        return {row.values["id"]: row.values for row in reader.rows()}


def _month_of(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
