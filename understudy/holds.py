"""What it means to hold a message."""

from __future__ import annotations

from dataclasses import dataclass

#: The consumer group of every stream.
GROUP = "workers"


@dataclass(frozen=True, slots=True)
class Hold:
    """What holding a message means: a pending entry of a stream.

    An entry is delivered once: what is handed back, retried or reaped becomes a new entry. So the entry's id names the
    delivery, and a delivery that was taken away finds its entry gone.

    Attributes:
      stream: the key of the stream.
      entry: the id of the entry.
      token: names the delivery across streams; every write on the message's behalf carries it.
      deaths: at how many deaths of a process the body of this message was running.
      worker: the worker that held it when it died, if one did.
    """

    stream: str
    entry: str
    token: str
    deaths: int = 0
    worker: str = ""

    @property
    def suspect(self) -> bool:
        """Whether an earlier delivery was held by a process that died."""
        return bool(self.worker)
