"""What the mail server did, one JSON object per line. A line is in the file before the client hears of it, so it
survives the server's death, and any process may read it at any time."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from understudy import clock


class Event(StrEnum):
    """What a line tells."""

    CONNECTED = "connected"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    GREYLISTED = "greylisted"
    DROPPED = "dropped"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An accepted mail: ``time`` in unix seconds, ``size`` in bytes, ``connection`` counted from 1."""

    recipient: str
    message_id: str
    time: float
    size: int
    connection: int


class Journal:
    """Appends to ``path``. One system call per line: nothing waits in a buffer of this process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)

    def record(self, event: Event, **fields: Any) -> None:
        line = json.dumps({"event": event.value, "time": clock.now(), **fields})
        os.write(self._file, f"{line}\n".encode())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every line, oldest first; a last line that is still being written is left out. A missing file is empty."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.split(b"\n")[:-1]:
        yield json.loads(line)


def deliveries(path: Path) -> list[Delivery]:
    """The accepted mails, one entry per recipient, in order."""
    return [
        Delivery(*(entry[name] for name in ("recipient", "message_id", "time", "size", "connection")))
        for entry in read(path)
        if entry["event"] == Event.ACCEPTED
    ]


def counts(path: Path) -> dict[str, int]:
    """How often each event happened, with a zero for those that did not."""
    seen = Counter(entry["event"] for entry in read(path))
    return {event.value: seen[event.value] for event in Event}
