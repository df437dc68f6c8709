"""One mail to one address, checked when it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .mail_address import CONTROL, check_address

_HEADER_NAME = re.compile(r"[!-9;-~]+")
_OURS = frozenset(
    [
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "return-path",
        "received",
        "mime-version",
    ]
)


@dataclass(frozen=True, slots=True)
class Email:
    """One mail to one address.

    At least one of ``text`` and ``html`` is given; with both, readers choose. ``headers`` adds to the headers
    that are made here. Mails with the same ``message_key`` to the same address have the same Message-ID, in
    every process and on every attempt, so that a receiver can recognise a repetition.

    Raises:
      InvalidAddress: ``to`` is not an address; it is stored in its normal form.
      ValueError: no content, or a line break in a header; the message names the field.
    """

    to: str
    subject: str
    text: str | None = None
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message_key: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "to", check_address(self.to))
        if self.text is None and self.html is None:
            raise ValueError("text and html are both missing: give at least one")
        _check_header("subject", self.subject)
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"headers: {name!r} is not the name of a header")
            if name.lower() in _OURS or name.lower().startswith("content-"):
                raise ValueError(f"headers: {name} is made from the mail itself and cannot be given")
            _check_header(f"headers[{name!r}]", value)
        for name, body in (("text", self.text), ("html", self.html)):
            if body is not None:
                _check_encodable(name, body)


def _check_header(name: str, value: str) -> None:
    if CONTROL.search(value):
        raise ValueError(f"{name} contains a line break or another control character")
    _check_encodable(name, value)


def _check_encodable(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} contains half a character (a lone surrogate) at {error.start}") from None
