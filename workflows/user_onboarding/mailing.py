"""A mail that a user gets once ever."""

from __future__ import annotations

import logging

from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.mail import Email, in_doubt, open_mailer

from .users import Moment, claim, release

logger = logging.getLogger(__name__)


def mail_once(user_id: str, moment: Moment, mail: Email) -> bool:
    """Send a mail that ``moment`` of the user stands for. False: it was sent before, or the user has left.

    It is noted before the mail goes: noted after it, a database that is away at that moment would have a retry mail
    twice. The note is taken back when the mail certainly did not go; in doubt it stays, for no mail is better than two.
    """
    if not claim(user_id, moment):
        return False
    try:
        with open_mailer() as mailer:
            mailer.send(mail)
    except (OSError, ValueError) as error:  # all that smtplib raises is an OSError
        if not in_doubt(error):
            _release(user_id, moment)
        raise
    return True


def _release(user_id: str, moment: Moment) -> None:
    try:
        release(user_id, moment)
    except (DatabaseUnavailable, DatabaseRefused) as error:
        # Why the mail did not go is the better thing to say.
        logger.warning("a mail did not go, and %s stays noted: %s", moment, error)
