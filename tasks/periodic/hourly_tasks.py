"""Every hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from tasks import analytics_tasks
from tasks.adapters.report_settings import ReportSettings
from tasks.adapters.reports import as_text, dead_letters
from tasks.periodic.reporting import due_at, mail
from tasks.utils.error_handlers import STORE_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, periodic
from understudy.settings import load

#: A few minutes past the hour, so that most of its events have come; those that come later are counted by the next one.
periodic(cron="5 * * * *", catch_up="latest", overlap="skip")(analytics_tasks.roll_up_events)


class Alert(TypedDict):
    """How many new dead letters there were, and to how many people that was mailed."""

    dead: int
    mailed: int


@periodic(cron="10 * * * *", catch_up="latest", window=timedelta(hours=3))
@actor(
    queue_name="maintenance",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=5),
    expected_duration=0.5,
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def alert_on_dead_letters() -> Alert:
    """Mail ``REPORTS_TO`` when ``REPORTS_DEAD_LETTERS`` or more messages became dead letters within the last hour."""
    end, settings = due_at(), load(ReportSettings)
    rows = dead_letters(end - timedelta(hours=1), end)
    count = sum(row["dead"] for row in rows)
    if count < settings.dead_letters:
        return {"dead": count, "mailed": 0}
    text = f"Within the hour before {end:%Y-%m-%d %H:%M} UTC:\n\n{as_text(rows)}\n\nSee `understudy dead list`.\n"
    return {"dead": count, "mailed": mail(settings, f"{count} new dead letters", text)}
