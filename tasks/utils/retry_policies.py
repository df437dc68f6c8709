"""Retry policies by name: which failures of which outside world run again, and when."""

from __future__ import annotations

from datetime import timedelta

from tasks.adapters.channels import ChannelFailed
from tasks.adapters.database_errors import database_may_work_later
from tasks.adapters.file_errors import file_may_work_later
from tasks.adapters.mail import is_transient, says_nothing
from tasks.adapters.web import is_transient as webhook_may_work_later
from understudy import Retry


def mail_may_work_later(exception: BaseException) -> bool:
    """Whether a failed mail may go through later: transient failures, and those that say nothing of themselves."""
    return is_transient(exception) or says_nothing(exception)


def store_may_work_later(exception: BaseException) -> bool:
    """Whether work on files and tables may succeed later: a store or a database that is away or busy."""
    return file_may_work_later(exception) or database_may_work_later(exception)


#: For mail: a server that is away or says 4xx. Some 17 minutes in all, with the waits spread by jitter.
SMTP_RETRY = Retry(
    10,
    on=mail_may_work_later,
    backoff=timedelta(seconds=2),
    factor=2,
    maximum=timedelta(minutes=5),
    jitter="equal",
)

#: For webhooks: a receiver that is away, overloaded or broken. Some 22 hours in all: people repair them by day.
WEBHOOK_RETRY = Retry(
    30,
    on=webhook_may_work_later,
    backoff=timedelta(seconds=5),
    factor=2.2,
    maximum=timedelta(hours=1),
    jitter="equal",
)

#: For push, SMS and chat: a notice that is half an hour late is still of use, one of yesterday is not.
CHANNEL_RETRY = Retry(
    8,
    on=ChannelFailed,
    backoff=timedelta(seconds=5),
    factor=2.5,
    maximum=timedelta(minutes=10),
    jitter="equal",
)

#: For files and tables: a store or a database that is away or busy. Some 20 minutes in all.
STORE_RETRY = Retry(
    8,
    on=store_may_work_later,
    backoff=timedelta(seconds=5),
    factor=2.5,
    maximum=timedelta(minutes=5),
    jitter="equal",
)


def onboarding_may_work_later(exception: BaseException) -> bool:
    """Whether a mail to a new user may go out later: a mail server or a database that is away for a while."""
    return mail_may_work_later(exception) or database_may_work_later(exception)


#: For mails to new users: they wait in front of the screen at first, and an hour later it is still of use.
ONBOARDING_RETRY = Retry(
    12,
    on=onboarding_may_work_later,
    backoff=timedelta(seconds=1),
    factor=2.5,
    maximum=timedelta(minutes=10),
    jitter="equal",
)
