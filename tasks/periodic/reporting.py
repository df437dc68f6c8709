"""What the jobs that report share."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.adapters.report_settings import ReportSettings
from tasks.email_tasks import send_email
from understudy import clock, fire_time
from understudy.execution import current


def due_at() -> datetime:
    """The time that this run stands for, in UTC; now when somebody has sent it by hand."""
    return (fire_time() or clock.utc(clock.now())).astimezone(UTC)


def mail(settings: ReportSettings, subject: str, text: str) -> int:
    """Send a mail to everybody who reads reports; returns to how many. Each mail is a message of its own, which exists
    if this run is committed: a retry of either sends no mail twice."""
    when = "now" if current() is None else "committed"
    for address in settings.to:
        send_email.send_with_options(args=(address, f"[understudy] {subject}", text), when=when)
    return len(settings.to)
