"""From a mail to the envelope and the bytes that travel."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, make_msgid
from typing import Any

from understudy import clock

from .mail_address import Sender, envelope_address
from .mail_message import Email


@dataclass(frozen=True, slots=True)
class Letter:
    """A rendered mail. ``utf8`` says that the server must speak SMTPUTF8 to carry it."""

    sender: str
    recipient: str
    payload: bytes
    message_id: str
    utf8: bool


def render(email: Email, sender: Sender) -> Letter:
    """The envelope and the bytes of ``email``: CRLF line ends, 7-bit parts, headers that are not mangled."""
    from_address, to_address = envelope_address(sender.address), envelope_address(email.to)
    # A domain can always be written in ASCII; a local part cannot, and then the headers are UTF-8 too.
    utf8 = not (from_address + to_address).isascii()
    message = EmailMessage(policy=_POLICY.clone(utf8=utf8))
    message["From"] = _mailbox(sender.name, from_address)
    message["To"] = _mailbox("", to_address)
    message["Subject"] = email.subject
    message["Date"] = format_datetime(clock.utc(clock.now()))
    message["Message-ID"] = message_id = _message_id(email, from_address.rpartition("@")[2])
    for name, value in email.headers.items():
        message[name] = value
    if email.text is not None:
        message.set_content(email.text)
    if email.text is None:
        message.set_content(email.html, subtype="html")
    elif email.html is not None:
        message.add_alternative(email.html, subtype="html")
    return Letter(from_address, to_address, message.as_bytes(), message_id, utf8)


def _mailbox(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _message_id(email: Email, domain: str) -> str:
    if email.message_key is None:
        return make_msgid(domain=domain)
    digest = hashlib.sha256(f"{email.message_key}\0{email.to}".encode()).hexdigest()
    return f"<{digest[:40]}@{domain}>"


class _Policy(EmailPolicy):
    """Folds ASCII headers at blanks only.

    The library cuts a word that is longer than a line into encoded words, which makes a List-Unsubscribe
    URL unreadable to receivers.
    """

    def fold(self, name: str, value: Any) -> str:
        return _folded(name, str(value)) or super().fold(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        folded = _folded(name, str(value))
        return super().fold_binary(name, value) if folded is None else folded.encode("ascii")


_LINE, _LONGEST_LINE = 78, 998


def _folded(name: str, value: str) -> str | None:
    words = re.findall(r"\s*\S+", value)
    if not value.isascii() or any(len(word) > _LONGEST_LINE - len(name) - 2 for word in words):
        return None
    lines, line = [], f"{name}:"
    for number, word in enumerate(words):
        word = word if number else f" {word.lstrip()}"
        if number and len(line) + len(word) > _LINE:
            lines.append(line)
            line = ""
        line += word
    return "\r\n".join([*lines, line]) + "\r\n"


# 7-bit parts: no server on the way has to offer 8BITMIME, or to convert.
_POLICY = _Policy(linesep="\r\n", cte_type="7bit")
