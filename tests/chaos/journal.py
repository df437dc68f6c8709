"""The journal of effects: what bodies did, line by line, whatever became of their processes."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dramatiq import Broker, Middleware

from understudy.outcome import Disposition

#: Where beginnings are noted, beside the journal of effects.
BEGINNINGS = ".begins"


def effect(line: str) -> None:
    """Append a line to the journal of this run, in one write."""
    _append(os.environ["CHAOS_JOURNAL"], line)


def _append(path: str, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


class Noting(Middleware):
    """Notes every body that is about to begin: its name, message, the deaths that it is blamed for, its process.

    Before the broker marks it as started, so that no mark is without a note.
    """

    def before_process_message(self, broker: Broker, message: Any) -> None:
        name = message.args[0] if message.args else message.actor_name
        line = f"{name} {message.message_id} {message.hold.deaths} {os.getpid()}"
        _append(os.environ["CHAOS_JOURNAL"] + BEGINNINGS, line)


class Commits(Middleware):
    """Notes what was committed; a process that dies right after it notes nothing."""

    def after_commit(self, broker: Broker, message: Any) -> None:
        if message.outcome.disposition is Disposition.DONE:
            effect(f"committed {message.message_id}")


@dataclass(frozen=True)
class Begin:
    """A body that began, or was about to."""

    name: str
    message_id: str
    deaths: int
    pid: int


def begun(journal: Path) -> dict[str, list[Begin]]:
    """What began, by name, in order."""
    found: dict[str, list[Begin]] = defaultdict(list)
    for line in lines_of(journal.with_name(journal.name + BEGINNINGS)):
        name, message_id, deaths, pid = line.split()
        found[name].append(Begin(name, message_id, int(deaths), int(pid)))
    return found


def lines_of(journal: Path) -> list[str]:
    """Every whole line so far."""
    return journal.read_text().splitlines() if journal.exists() else []


def blamed(found: dict[str, list[Begin]]) -> list[str]:
    """The names that carry a death at which their body was not running: none, if prefetched messages do not count.

    What begins for the nth time can have been running at n - 1 deaths.
    """
    wrong = []
    for name, runs in found.items():
        if any(run.deaths > earlier for earlier, run in enumerate(runs)):
            wrong.append(name)
    return wrong
