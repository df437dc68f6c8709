"""Every day."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from tasks import cleanup_tasks
from tasks.adapters.report_settings import ReportSettings
from tasks.adapters.reports import as_text, dead_letters
from tasks.periodic.reporting import due_at, mail
from tasks.utils.error_handlers import STORE_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, periodic
from understudy.settings import load

#: Exported files whose time is over, and what is left of and remembered about work that is long done. What somebody may
#: still want to look at (dead letters, rows put aside, events) has its own time, and goes by hand.
PURGED = ("exports", "unfinished", "notes")
periodic(cron="30 3 * * *", catch_up="latest", overlap="skip", kwargs={"kinds": PURGED})(cleanup_tasks.clean_up)


class Digest(TypedDict):
    """How many dead letters the day had, and to how many people the digest was mailed."""

    dead: int
    mailed: int


@periodic(cron="0 6 * * *", catch_up="latest", window=timedelta(hours=12))
@actor(
    queue_name="maintenance",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=5),
    expected_duration=0.5,
    idempotency=Idempotency(ttl=timedelta(days=2)),
)
def mail_digest() -> Digest:
    """Mail ``REPORTS_TO`` what the last 24 hours came to."""
    end, settings = due_at(), load(ReportSettings)
    rows = dead_letters(end - timedelta(days=1), end)
    text = f"The 24 hours before {end:%Y-%m-%d %H:%M} UTC.\n\nDead letters:\n{as_text(rows)}\n"
    return {"dead": sum(row["dead"] for row in rows), "mailed": mail(settings, f"{end:%Y-%m-%d}: the day", text)}
