"""Tables of errors by name: which failures of which outside world run again, which end at once, and which are told.

They stand above the retry policies, which say how often and when.
"""

from __future__ import annotations

from datetime import timedelta

from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.file_errors import BadFile, FileRefused
from tasks.adapters.mail import InvalidAddress, stops_everything
from tasks.adapters.web import DestinationRefused
from tasks.adapters.web import is_transient as webhook_may_work_later
from understudy import Alert, Errors
from understudy.errors import SettingsError

from .retry_policies import mail_may_work_later, store_may_work_later

#: A person shall look at it: at CRITICAL in the log, where whatever watches it finds it. `Alert(to=...)` also sends.
ON_CALL = Alert(every=timedelta(minutes=15))

#: For mail. A login that is refused, or a wrong certificate, fails for every recipient until somebody repairs it.
MAIL_ERRORS = Errors(
    (
        (InvalidAddress, "fail"),
        (mail_may_work_later, "retry, then alert"),
        (stops_everything, "alert"),
    ),
    alert=ON_CALL,
)

#: For webhooks. That a receiver stays away is its own affair; we have tried for a day. That they cannot be signed is
#: ours.
WEBHOOK_ERRORS = Errors(
    (
        (DestinationRefused, "fail"),
        (webhook_may_work_later, "retry"),
        (SettingsError, "alert"),
    ),
    alert=ON_CALL,
)

#: For files and tables that a message names. A store that stays away is ours to repair; what is wrong with a file, a
#: query or a table is its sender's affair, who learns it from the message.
TRANSFER_ERRORS = Errors(
    (
        ((BadFile, FileRefused, DatabaseRefused), "fail"),
        (store_may_work_later, "retry, then alert"),
    ),
    alert=ON_CALL,
)

#: For what is the same, but our own: nobody else repairs a table that refuses what we write.
STORE_ERRORS = Errors(
    (
        (store_may_work_later, "retry, then alert"),
        ((BadFile, FileRefused, DatabaseRefused), "alert"),
    ),
    alert=ON_CALL,
)
