"""Where the messages of a queue lie on the server (see ``storage/lua/_ops.lua`` for what each holds)."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Streams of a queue, by number: messages of a lower number are fetched along with, and run before, the others.
HIGH, NORMAL, LOW = 1, 2, 3
LEVELS = (HIGH, NORMAL, LOW)


def level_of(priority: int) -> int:
    """The stream for a Dramatiq priority: lower numbers are more urgent, 0 is normal."""
    return NORMAL if priority == 0 else HIGH if priority < 0 else LOW


@dataclass(frozen=True)
class QueueKeys:
    """The keys of one queue under ``namespace``."""

    namespace: str
    queue: str
    streams: tuple[str, str, str] = field(init=False)
    delayed: str = field(init=False)
    payloads: str = field(init=False)
    ids: str = field(init=False)
    dead: str = field(init=False)
    bodies: str = field(init=False)

    def __post_init__(self) -> None:
        start = f"{self.namespace}:q:{self.queue}"
        put = object.__setattr__
        put(self, "streams", tuple(f"{start}:{level}" for level in LEVELS))
        put(self, "delayed", f"{start}:delayed")
        put(self, "payloads", f"{start}:payloads")
        put(self, "ids", f"{start}:ids")
        put(self, "dead", f"{start}:dead")
        put(self, "bodies", f"{start}:bodies")

    @property
    def promoted(self) -> tuple[str, ...]:
        """Where its delayed messages are, and where they go when they are due (`promote.lua`)."""
        return (self.delayed, self.payloads, self.ids, *self.streams)

    @property
    def all(self) -> tuple[str, ...]:
        """Every key of the queue."""
        return (*self.streams, self.delayed, self.payloads, self.ids, self.dead, self.bodies)
