"""The one speller of keys and channels.

Everything lies under one namespace, so that several systems (and every test) can share a server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """Spells the names under ``namespace``."""

    namespace: str

    @property
    def clock(self) -> str:
        """String: the time in ms that scripts take for now. Exists in test sessions only."""
        return f"{self.namespace}:clock"

    @property
    def actors(self) -> str:
        """Hash: actor name -> queue name, as announced by workers, for senders that cannot import actors."""
        return f"{self.namespace}:actors"

    def state(self, message_id: str) -> str:
        """Hash: the record of one message (state, result, progress, hold)."""
        return f"{self.namespace}:state:{message_id}"

    def items(self, scope: str) -> str:
        """Hash: item key -> mark, of one message or of one idempotency key."""
        return f"{self.namespace}:items:{scope}"

    def claimed_items(self, key: str) -> str:
        """Hash: the items remembered under an idempotency key; its scope is ``key:<key>``."""
        return self.items(f"key:{key}")

    def claim(self, key: str) -> str:
        """Hash: who holds an idempotency key, or the outcome committed under it."""
        return f"{self.namespace}:claim:{key}"

    def channel(self, message_id: str) -> str:
        """Channel: told whenever the state of a message changes."""
        return f"{self.namespace}:told:{message_id}"

    def pattern(self) -> str:
        """Matches every key of the namespace, for SCAN."""
        return f"{self.namespace}:*"
