"""Mail addresses: the form they must have, and their normal form."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""Line breaks and other characters that may not stand in a header."""


class InvalidAddress(ValueError):
    """This is not an address that mail can be sent to. The message is the reason, without the address."""


def check_address(address: str) -> str:
    """``address`` in its normal form: surrounding blanks gone, Unicode composed, domain in lower case.

    Nothing is looked up. International domains and UTF-8 local parts are accepted, and the test domains
    ``.test`` and ``.example``.

    Raises:
      InvalidAddress: with the reason.
    """
    return _validated(address).normalized


def _validated(address: str) -> ValidatedEmail:
    if not isinstance(address, str):
        raise InvalidAddress(f"An email address is a text, not {type(address).__name__}.")
    try:
        found = validate_email(
            address.strip(" \t"),
            check_deliverability=False,
            globally_deliverable=False,
            test_environment=True,
        )
    except EmailNotValidError as error:
        raise InvalidAddress(str(error)) from None
    # Without this, which the library asks only of globally deliverable addresses (and those exclude the test
    # domains), a forgotten ".com" would pass.
    if "." not in found.ascii_domain:
        raise InvalidAddress("The part after the @-sign is not valid. It should have a period.")
    return found


def mailbox(address: str) -> str:
    """What tells one mailbox from another: the domain in ASCII, as it is sent, and all of it in lower case.

    Made for a million addresses: it does not say whether this is an address. Text that is none stands for itself.
    """
    text = address.strip()
    local, at, domain = text.rpartition("@")
    if not at:
        return text
    try:
        sent = domain.lower() if domain.isascii() else _ascii_domain(domain)
    except InvalidAddress:
        return text
    # Not casefold, nor a compatibility form: they make one of what mail servers keep apart.
    return f"{unicodedata.normalize('NFC', local).lower()}@{sent}"


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    return _validated(f"x@{domain}").ascii_domain


class Sender(NamedTuple):
    """Who a mail comes from: a name, possibly empty, and a bare address."""

    name: str
    address: str


def check_sender(text: str) -> Sender:
    """``Ada Lovelace <ada@example.com>`` or ``ada@example.com``; the domain may be ``localhost``.

    Raises:
      InvalidAddress: with the reason.
    """
    if CONTROL.search(text):
        raise InvalidAddress("The sender contains a line break or another control character.")
    # Not email.utils.parseaddr: it takes an unquoted comma in the name for the end of an address.
    parts = re.fullmatch(r"\s*(.*?)\s*<([^<>]*)>\s*", text)
    name, address = (parts[1].strip('"'), parts[2]) if parts else ("", text)
    local, _, domain = address.rpartition("@")
    if domain.lower() == "localhost":
        checked = check_address(f"{local}@localhost.example")
        return Sender(name, checked.removesuffix(".example"))
    return Sender(name, check_address(address))


def envelope_address(address: str) -> str:
    """``address`` as it stands on the envelope: its domain in ASCII. A local part has no such form."""
    local, _, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}@{_ascii_domain(domain)}"
