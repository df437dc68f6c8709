"""What a failed ``send`` means. The exceptions are smtplib's own; these functions sort them.

=========================  ==================================================================================
``is_transient(exc)``      certainly not delivered, and may work later: try again
``is_recipient_failure``   certainly not delivered, and never to this address: note it, go on with the next
``in_doubt(exc)``          delivered or not, nobody can know: repeat it or report it, as the actor says
none of the three          certainly not delivered, and no recipient will fare better: stop
=========================  ==================================================================================

At most one of the three is true.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from typing import NamedTuple

from .mail_address import InvalidAddress


class DeliveryInDoubt(smtplib.SMTPServerDisconnected):
    """The whole mail was sent and the server's answer was lost: it may or may not have been delivered."""

    def __init__(self, reason: str = "the connection was lost before the server answered") -> None:
        super().__init__(reason)


class AddressNotSupported(smtplib.SMTPNotSupportedError):
    """This server cannot carry an address outside ASCII: it does not offer SMTPUTF8."""


class Reply(NamedTuple):
    """What the server said: ``code`` is -1 when that was not SMTP."""

    code: int
    text: str

    @classmethod
    def of(cls, code: int, text: bytes | str) -> Reply:
        return cls(code, text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))


def reply_of(exc: BaseException) -> Reply | None:
    """The server's refusal behind ``exc``, or None when it refused nothing."""
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        return Reply.of(*next(iter(exc.recipients.values()), (-1, b"")))
    if isinstance(exc, smtplib.SMTPResponseException):
        return Reply.of(exc.smtp_code, exc.smtp_error)
    return None


def in_doubt(exc: BaseException) -> bool:
    """Whether the mail may have been delivered although ``send`` failed."""
    return isinstance(exc, DeliveryInDoubt)


def is_transient(exc: BaseException) -> bool:
    """Whether the mail was certainly not delivered and a later attempt may succeed: a 4xx reply, a server
    that cannot be reached, a connection lost before the end of the mail."""
    reply = reply_of(exc)
    if reply is not None:
        # A reply that is not SMTP comes from a proxy or a server that is starting.
        return 400 <= reply.code < 500 or reply.code == -1
    if in_doubt(exc):
        return False
    if isinstance(exc, smtplib.SMTPException):
        return isinstance(exc, smtplib.SMTPServerDisconnected)
    if isinstance(exc, ssl.SSLError):
        # Neither a wrong certificate nor a server without TLS on this port gets better by waiting.
        return not isinstance(exc, ssl.SSLCertVerificationError) and exc.reason != "WRONG_VERSION_NUMBER"
    return isinstance(exc, OSError)


def stops_everything(exc: BaseException) -> bool:
    """Whether no recipient will fare better until somebody repairs it: a login that is refused, a wrong certificate."""
    own = isinstance(exc, smtplib.SMTPException | OSError)
    return own and not (is_transient(exc) or is_recipient_failure(exc) or in_doubt(exc))


def is_put_off(exc: BaseException) -> bool:
    """Whether the server said 4xx to this recipient's mail: the next recipient may fare better, this one later."""
    return is_transient(exc) and isinstance(exc, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError)


def is_cut(exc: BaseException) -> bool:
    """Whether the line was cut before the mail was handed over."""
    return isinstance(exc, smtplib.SMTPServerDisconnected) and not in_doubt(exc)


def says_nothing(exc: BaseException) -> bool:
    """Whether it is smtplib's general exception, which tells neither code nor cause."""
    return type(exc) is smtplib.SMTPException


# Replies to RCPT and DATA that are about the session, not about this recipient.
_ABOUT_THE_SESSION = frozenset({500, 501, 502, 503, 504, 521, 530, 534, 535, 538})
_TOO_LARGE = 552


def is_recipient_failure(exc: BaseException) -> bool:
    """Whether only this recipient is affected, for good: the address is malformed, or the server refused it,
    or refused this mail to it, with a 5xx."""
    if isinstance(exc, InvalidAddress | AddressNotSupported):
        return True
    reply = reply_of(exc)
    if reply is None or not 500 <= reply.code < 600:
        return False
    if isinstance(exc, smtplib.SMTPSenderRefused):
        return reply.code == _TOO_LARGE  # the size is announced with the sender
    about_the_mail = isinstance(exc, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError)
    return about_the_mail and reply.code not in _ABOUT_THE_SESSION


_ADDRESS = re.compile(r"[^\s<>\"'(),:;=]+@[^\s<>\"'(),:;]+")
_LONGEST = 200


def describe(exc: BaseException) -> str:
    """A short reason on one line, such as ``550 5.1.1 no such user``. Addresses in it are left out."""
    reply = reply_of(exc)
    if reply is not None:
        lines = reply.text.splitlines()
        # Each line of a long reply repeats the enhanced code of the first.
        enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3} ", lines[0]) if lines else None
        rest = [line.removeprefix(enhanced[0]) if enhanced else line for line in lines[1:]]
        text = " ".join([str(reply.code), *lines[:1], *rest])
    elif isinstance(exc, ssl.SSLCertVerificationError):
        text = f"the server's certificate is not trusted: {exc.verify_message}"
    elif isinstance(exc, TimeoutError):
        text = "no answer in time"
    elif isinstance(exc, OSError) and exc.strerror:
        text = exc.strerror
    else:
        text = str(exc) or type(exc).__name__
    text = _ADDRESS.sub("address", "".join(char if char.isprintable() else " " for char in text))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
