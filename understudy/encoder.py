"""Messages as they travel: Dramatiq's fields, with Understudy's serialization for everything a user put in."""

from __future__ import annotations

from typing import Any

import dramatiq
import msgspec

from . import serialization
from .errors import DecodeError


class MessageEncoder(dramatiq.Encoder):
    """Dramatiq's ``Encoder`` seam. Refuses what cannot travel with its path (``SerializationError``)."""

    def encode(self, data: dict[str, Any]) -> bytes:
        wire = {name: serialization.to_wire(value, root=name) for name, value in data.items()}
        return msgspec.json.encode(wire)

    def decode(self, data: bytes) -> dict[str, Any]:
        fields = serialization.loads(data)
        if not isinstance(fields, dict):
            raise DecodeError(f"not a message: {type(fields).__name__} in place of its fields")
        return fields
