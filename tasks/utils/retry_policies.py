"""Retry policies by name: which failures of which outside world run again, and when."""

from __future__ import annotations

from datetime import timedelta

from tasks.adapters.mail import is_transient, says_nothing
from understudy import Retry


def mail_may_work_later(exception: BaseException) -> bool:
    """Whether a failed mail may go through later: transient failures, and those that say nothing of themselves."""
    return is_transient(exception) or says_nothing(exception)


#: For mail: a server that is away or says 4xx. Some 17 minutes in all, with the waits spread by jitter.
SMTP_RETRY = Retry(
    10,
    on=mail_may_work_later,
    backoff=timedelta(seconds=2),
    factor=2,
    maximum=timedelta(minutes=5),
    jitter="equal",
)
