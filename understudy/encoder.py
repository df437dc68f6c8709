"""Messages as they travel: Dramatiq's fields, with Understudy's serialization for everything a user put in."""

from __future__ import annotations

from typing import Any

import dramatiq
import msgspec

from . import serialization


class MessageEncoder(dramatiq.Encoder):
    """Dramatiq's ``Encoder`` seam. Refuses what cannot travel with its path (``SerializationError``)."""

    def encode(self, data: Any) -> bytes:
        if not isinstance(data, dict):
            return serialization.dumps(data)  # a result: Dramatiq's own result backends use the encoder, too
        wire = {}
        for name, value in data.items():
            kind = type(value)
            # Ids, names and what is empty need no walk, and that is most of a message.
            is_plain = value.isascii() if kind is str else kind is dict and not value
            wire[name] = value if is_plain else serialization.to_wire(value, root=name)
        return msgspec.json.encode(wire)

    def decode(self, data: bytes) -> Any:
        return serialization.loads(data)
