"""Every month."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from tasks.adapters import exports
from tasks.adapters.database import open_database
from tasks.adapters.files import open_writer
from tasks.adapters.report_settings import ReportSettings
from tasks.periodic.reporting import due_at
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, periodic
from understudy.settings import load

COLUMNS = ["id", "url", "rows", "bytes", "sha256", "created_at", "expires_at"]


class Archived(TypedDict):
    """The archive, and how many exports it has."""

    url: str
    rows: int


@periodic(cron="0 4 1 * *", catch_up="latest")
@actor(
    queue_name="maintenance",
    retry=STORE_RETRY,
    time_limit=timedelta(minutes=30),
    expected_duration=0.5,
    idempotency=Idempotency(ttl=timedelta(days=30)),
)
def archive_exports() -> Archived:
    """Write down for good which exports were made in the last month: where each was, and what was in it, also of
    those that are gone."""
    this_month = due_at().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last_month = _month_before(this_month)
    url = f"{load(ReportSettings).directory}/exports-{last_month:%Y-%m}.jsonl"
    register, start, end = open_database(), last_month.timestamp(), this_month.timestamp()
    made = exports.created(register, start=start, end=end)
    with open_writer(url, COLUMNS) as writer:
        writer.write(vars(export) for export in made)
    exports.archived(register, start=start, end=end)
    return {"url": writer.published.url, "rows": writer.published.rows}


def _month_before(month: datetime) -> datetime:
    return (month - timedelta(days=1)).replace(day=1)
