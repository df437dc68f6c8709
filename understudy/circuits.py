"""What the server knows of circuits (``storage/lua/circuit.lua``)."""

from __future__ import annotations

from .breaking import CircuitBreaker, Told
from .durations import to_millis, to_seconds
from .storage.client import Storage, Value

#: Seconds for which a message that tries a circuit out is waited for, if nobody says how long its body may take.
PROBE = 60.0


class Circuits:
    """Asks and tells. Every method raises ``ServerUnavailable`` when the server cannot be asked."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def wait(self, name: str, token: str, *, probe: float = PROBE) -> float:
        """Seconds until the delivery ``token`` may call what stands behind the circuit; 0 when it may now."""
        keys = self._storage.keys
        verdict, ms = self._storage.run("circuit", [keys.clock, keys.circuit(name)], [token, to_millis(probe)])
        return int(ms) / 1000 if verdict == b"open" else 0.0

    def tell(self, name: str, token: str, told: Told, policy: CircuitBreaker) -> float:
        """How the call ended; returns for how many seconds the circuit is open from now on."""
        keys = self._storage.keys
        spans = [
            to_millis(to_seconds(span, field=field))
            for span, field in ((policy.within, "within"), (policy.cooldown, "cooldown"), (policy.longest, "longest"))
        ]
        args: list[Value] = [token, told, policy.failures, *spans]
        return int(self._storage.run("circuit_told", [keys.clock, keys.circuit(name)], args)) / 1000
