"""The mailer that speaks SMTP: one connection, used again for mail after mail.

::

    connect - EHLO - [STARTTLS - EHLO] - [AUTH] - ready
    ready   - MAIL - RCPT - DATA - body | the dot - reply - ready
              certainly not delivered   | in doubt until the reply

It uses smtplib's single steps: ``sendmail`` does not say on which side of the dot a connection was lost.
"""

from __future__ import annotations

import re
import smtplib
from types import TracebackType
from typing import Self

from understudy import clock

from .mail_errors import AddressNotSupported, DeliveryInDoubt
from .mail_message import Email
from .mail_render import Letter, render
from .mail_settings import MailSettings
from .smtp_connection import connect

_CLOSING = 421
_GOODBYE = 1.0


class SmtpMailer:
    """A ``Mailer`` over SMTP. Connects at the first ``send``; not for use by several threads at once.

    The connection is renewed after ``messages_per_connection`` mails, after ``max_idle`` seconds without any,
    and at the next ``send`` after it broke. ``settings.timeout`` bounds each wait for the server.
    """

    def __init__(self, settings: MailSettings, *, messages_per_connection: int = 100, max_idle: float = 30.0) -> None:
        self._settings = settings
        self._sender = settings.from_sender
        self._messages_per_connection = messages_per_connection
        self._max_idle = max_idle
        self._client: smtplib.SMTP | None = None
        self._sent = 0
        self._last_used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye and hang up. Never raises; the next ``send`` connects again."""
        client = self._client
        if client is not None and client.sock is not None:
            try:
                client.sock.settimeout(min(_GOODBYE, self._settings.timeout))
                client.docmd("QUIT")
            except (OSError, ValueError):
                pass  # nothing depends on a goodbye
        self._hang_up()

    def send(self, email: Email) -> None:
        """Hand ``email`` to the server. Returns when the server has taken it.

        Raises:
          smtplib.SMTPRecipientsRefused, SMTPSenderRefused, SMTPDataError: the server refused.
          smtplib.SMTPServerDisconnected, OSError: no connection, or lost before the mail was complete.
          DeliveryInDoubt: lost after the mail was complete, before the reply.
          AddressNotSupported: the address is outside ASCII and the server cannot carry it.
          smtplib.SMTPAuthenticationError, SMTPNotSupportedError, ssl.SSLError: no session to our liking.

        ``mail_errors`` says which of them are worth another attempt.
        """
        letter = render(email, self._sender)
        if self._is_stale():
            self.close()
        reused = self._client is not None
        try:
            try:
                client = self._begin(letter)
            except (smtplib.SMTPServerDisconnected, smtplib.SMTPSenderRefused) as exc:
                if not (reused and _is_gone(exc)):
                    raise
                # The server closed while nothing was said. That is no failure of this mail.
                self._hang_up()
                client = self._begin(letter)
            _hand_over(client, letter)
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused, AddressNotSupported) as exc:
            self._make_usable(exc)
            raise
        except BaseException:
            # Also an interruption by a time limit: the conversation stopped somewhere in its middle.
            self._hang_up()
            raise
        self._sent += 1
        self._last_used = clock.monotonic()

    def _is_stale(self) -> bool:
        return self._client is not None and (
            self._sent >= self._messages_per_connection or clock.monotonic() - self._last_used > self._max_idle
        )

    def _begin(self, letter: Letter) -> smtplib.SMTP:
        if self._client is None:
            self._client, self._sent, self._last_used = connect(self._settings), 0, clock.monotonic()
        client = self._client
        options = []
        if client.has_extn("size"):
            options.append(f"SIZE={len(letter.payload)}")
        if letter.utf8:
            self._require_utf8(client, letter)
            options += ["SMTPUTF8", "BODY=8BITMIME"]
        code, text = client.mail(letter.sender, options)
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, text, letter.sender)
        return client

    def _require_utf8(self, client: smtplib.SMTP, letter: Letter) -> None:
        if client.has_extn("smtputf8"):
            return
        if not letter.sender.isascii():
            raise smtplib.SMTPNotSupportedError(
                "the server does not offer SMTPUTF8, which the sender needs; write another SMTP_FROM"
            )
        raise AddressNotSupported("the server does not offer SMTPUTF8, which this address needs")

    def _make_usable(self, exc: smtplib.SMTPException) -> None:
        """After a refusal: back to a state in which the next mail can begin."""
        client = self._client
        if client is None:
            return
        try:
            usable = client.sock is not None and not _is_gone(exc) and client.rset()[0] == 250
        except smtplib.SMTPException:
            usable = False
        if usable:
            self._last_used = clock.monotonic()
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _is_gone(exc: smtplib.SMTPException) -> bool:
    codes = {getattr(exc, "smtp_code", None)}
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in exc.recipients.values()}
    return isinstance(exc, smtplib.SMTPServerDisconnected) or not codes.isdisjoint({_CLOSING, -1})


def _hand_over(client: smtplib.SMTP, letter: Letter) -> None:
    code, text = client.rcpt(letter.recipient)
    if code not in (250, 251):
        raise smtplib.SMTPRecipientsRefused({letter.recipient: (code, text)})
    code, text = client.docmd("DATA")
    if code != 354:
        raise smtplib.SMTPDataError(code, text)
    body = re.sub(rb"(?m)^\.", b"..", letter.payload)
    # The dot goes alone: as long as it has not been sent, a lost connection is a certain failure. When
    # sending it fails, the system did not take all of it, so the server has not seen the end either.
    client.send(body if body.endswith(b"\r\n") else body + b"\r\n")
    client.send(b".\r\n")
    try:
        code, text = client.getreply()
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException) as exc:
        raise DeliveryInDoubt from exc
    if code == -1:
        raise DeliveryInDoubt("the server's answer to the whole mail was not SMTP")
    if not 200 <= code < 300:
        raise smtplib.SMTPDataError(code, text)
