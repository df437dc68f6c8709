"""Mail, as an actor sees it::

    with open_mailer() as mailer:
        mailer.send(Email(to="ada@example.com", subject="Hello", text="Hello, Ada."))

What a failed ``send`` means is sorted by ``is_transient``, ``is_recipient_failure`` and ``in_doubt``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from .mail_address import InvalidAddress, check_address, mailbox
from .mail_errors import (
    AddressNotSupported,
    DeliveryInDoubt,
    describe,
    in_doubt,
    is_cut,
    is_put_off,
    is_recipient_failure,
    is_transient,
    says_nothing,
    stops_everything,
)
from .mail_memory import MemoryMailer
from .mail_message import Email
from .mail_settings import MailSettings
from .seam import Seam
from .smtp import SmtpMailer

__all__ = [
    "AddressNotSupported",
    "DeliveryInDoubt",
    "Email",
    "InvalidAddress",
    "MailSettings",
    "Mailer",
    "MemoryMailer",
    "SmtpMailer",
    "check_address",
    "describe",
    "in_doubt",
    "is_cut",
    "is_put_off",
    "is_recipient_failure",
    "is_transient",
    "mailbox",
    "open_mailer",
    "says_nothing",
    "stops_everything",
    "use_mailer",
]


class Mailer(Protocol):
    """Sends mails while it is open (a context manager). Used by one thread at a time."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def send(self, email: Email) -> None:
        """Returns when the mail has been taken over; otherwise raises, see ``mail_errors``."""


_seam: Seam[Mailer, MailSettings] = Seam(SmtpMailer, MailSettings)


def open_mailer(settings: MailSettings | None = None) -> Mailer:
    """The mailer of these settings (default: the environment's). It connects at the first ``send``.

    Raises:
      understudy.errors.SettingsError: the environment's ``SMTP_*`` are wrong.
    """
    return _seam.open(settings)


def use_mailer(factory: Callable[[], Mailer]) -> AbstractContextManager[None]:
    """Inside the block ``open_mailer`` returns ``factory()``, in every thread: the seam for tests. ::

    smtp = MemoryMailer()
    with use_mailer(lambda: smtp):
        ...
    """
    return _seam.use(factory)
