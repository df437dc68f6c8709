"""Every week."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from tasks.adapters.files import open_writer
from tasks.adapters.report_settings import ReportSettings
from tasks.adapters.reports import as_text, dead_letters
from tasks.periodic.reporting import due_at, mail
from tasks.utils.error_handlers import STORE_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, periodic
from understudy.settings import load


class Report(TypedDict):
    """The file, how many rows it has, and to how many people it was mailed."""

    url: str
    rows: int
    mailed: int


@periodic(cron="0 7 * * MON", catch_up="latest", window=timedelta(days=3))
@actor(
    queue_name="maintenance",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=10),
    expected_duration=0.5,
    idempotency=Idempotency(ttl=timedelta(days=7)),
)
def report_week() -> Report:
    """Write what the last seven days came to into ``REPORTS_DIRECTORY``, and mail it to ``REPORTS_TO``. The report is
    named after the week in which they began."""
    end, settings = due_at(), load(ReportSettings)
    begin = end - timedelta(days=7)
    rows = dead_letters(begin, end)
    with open_writer(f"{settings.directory}/week-{begin:%G-W%V}.csv", ["queue", "actor", "dead"]) as writer:
        writer.write(rows)
    text = (
        f"The seven days before {end:%Y-%m-%d %H:%M} UTC.\n\nDead letters:\n{as_text(rows)}\n\n{writer.published.url}\n"
    )
    mailed = mail(settings, f"Week {begin:%G-W%V}", text)
    return {"url": writer.published.url, "rows": writer.published.rows, "mailed": mailed}
