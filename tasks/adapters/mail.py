"""Mail, as an actor sees it::

    with open_mailer() as mailer:
        mailer.send(Email(to="ada@example.com", subject="Hello", text="Hello, Ada."))

What a failed ``send`` means is sorted by ``is_transient``, ``is_recipient_failure`` and ``in_doubt``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from understudy.settings import load

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


_factory: Callable[[], Mailer] | None = None


def open_mailer(settings: MailSettings | None = None) -> Mailer:
    """The mailer of these settings (default: the environment's). It connects at the first ``send``.

    Raises:
      understudy.errors.SettingsError: the environment's ``SMTP_*`` are wrong.
    """
    if _factory is not None:
        return _factory()
    return SmtpMailer(load(MailSettings) if settings is None else settings)


@contextmanager
def use_mailer(factory: Callable[[], Mailer]) -> Iterator[None]:
    """Inside the block ``open_mailer`` returns ``factory()``, in every thread: the seam for tests. ::

    smtp = MemoryMailer()
    with use_mailer(lambda: smtp):
        ...
    """
    global _factory
    before, _factory = _factory, factory
    try:
        yield
    finally:
        _factory = before
