"""The mailer for unit tests: it renders each mail to bytes as the real one does, and keeps it."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import NamedTuple, Self

from .mail_address import Sender, check_address, envelope_address
from .mail_message import Email
from .mail_render import render

Failure = BaseException | type[BaseException]


class _Planned(NamedTuple):
    failure: Failure
    delivered: bool


class MemoryMailer:
    """A ``Mailer`` that delivers into lists. One object may be opened many times, also by several messages.

    Attributes:
      delivered: the addresses (normal form) in order of delivery.
      messages: the delivered mails, parsed back from their bytes.
      attempts: how often ``send`` was called.
      on_send: called with each mail before anything happens to it; a test looks at progress here, or raises.
    """

    def __init__(self, *, sender: str = "no-reply@understudy.example") -> None:
        self.delivered: list[str] = []
        self.messages: list[EmailMessage] = []
        self.attempts = 0
        self.on_send: Callable[[Email], None] | None = None
        self._sender = Sender("", check_address(sender))
        self._next: list[_Planned] = []
        self._at: dict[int, _Planned] = {}
        self._refused: dict[str, tuple[int, bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def fail_next(self, failure: Failure, times: int = 1, *, delivered: bool = False) -> None:
        """The next ``times`` sends raise ``failure``. Calls add up. With ``delivered`` the mail arrives all
        the same, as when a reply is lost: raise ``DeliveryInDoubt``."""
        self._next += [_Planned(failure, delivered)] * times

    def fail_at(self, nth: int, failure: Failure, *, delivered: bool = False) -> None:
        """The ``nth`` send from now on (1 is the next) raises ``failure``."""
        if nth < 1:
            raise ValueError("nth counts from 1, the next send")
        self._at[self.attempts + nth] = _Planned(failure, delivered)

    def refuse(self, address: str, code: int = 550, text: str = "5.1.1 no such user") -> None:
        """Every send to ``address`` raises ``smtplib.SMTPRecipientsRefused`` with this reply, as a server's
        refusal does. Code 4xx is a transient one; ``accept`` ends it."""
        self._refused[check_address(address)] = (code, text.encode())

    def accept(self, address: str) -> None:
        """Take a ``refuse`` back."""
        self._refused.pop(check_address(address), None)

    def send(self, email: Email) -> None:
        """Deliver ``email``, or fail as planned."""
        self.attempts += 1
        letter = render(email, self._sender)
        if self.on_send is not None:
            self.on_send(email)
        planned = self._at.pop(self.attempts, None)
        if planned is None and self._next:
            planned = self._next.pop(0)
        if planned is None and email.to in self._refused:
            raise smtplib.SMTPRecipientsRefused({envelope_address(email.to): self._refused[email.to]})
        if planned is None or planned.delivered:
            self.delivered.append(email.to)
            self.messages.append(message_from_bytes(letter.payload, policy=default))
        if planned is not None:
            raise planned.failure
