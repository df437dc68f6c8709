"""Signatures of webhooks, as the Standard Webhooks specification has them (``v1``: HMAC-SHA256).

A receiver in Python checks what it was sent with ``verify``; in other languages any library of that specification does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
#: Seconds by which the clock of the sender may differ, and for which a copy that somebody caught is of use.
TOLERANCE = 300


class SignatureInvalid(ValueError):
    """The webhook was not sent by who has the secret, or not now."""


def sign(body: bytes, *, key: bytes, message_id: str, now: float) -> dict[str, str]:
    """The headers that sign ``body``. ``now`` is in seconds since the epoch."""
    timestamp = str(int(now))
    return {ID: message_id, TIMESTAMP: timestamp, SIGNATURE: f"v1,{_signature(body, key, message_id, timestamp)}"}


def verify(body: bytes, headers: Mapping[str, str], *, key: bytes, now: float, tolerance: float = TOLERANCE) -> str:
    """Check what was received; returns the id, which is the same however often a webhook comes.

    Raises:
      SignatureInvalid: a header is missing, the time is off by more than ``tolerance`` seconds, or no signature fits.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, signatures = found[ID], found[TIMESTAMP], found[SIGNATURE]
    except KeyError as error:
        raise SignatureInvalid(f"the header {error.args[0]} is missing") from None
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > tolerance:
        raise SignatureInvalid("the webhook is too old, or from the future; compare the clocks")
    expected = _signature(body, key, message_id, timestamp)
    for signature in signatures.split():
        version, _, text = signature.partition(",")
        if version == "v1" and hmac.compare_digest(text.encode(), expected.encode()):
            return message_id
    raise SignatureInvalid("no signature fits; see that both sides have the same secret and the body is unchanged")


def _signature(body: bytes, key: bytes, message_id: str, timestamp: str) -> str:
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
