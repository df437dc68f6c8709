"""What each subject declares: a class with one attribute per row. ::

@matrix_entry("send_email")
class SendEmail(Entry):
    def retry(self, drain: Drain, smtp: MemoryMailer) -> None:   # a case: a test that asks for fixtures
        ...
    partial_failure = NO_COLLECTION                              # an excuse, checked against the declaration
    chain_stop = Due("chains")                                   # would wait for what is not built yet
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

#: The rows, as attributes of an entry, with what a passing case has shown.
ROWS: dict[str, str] = {
    "retry": "a failure that may pass is tried again, visibly, and one that does not pass ends as FAILURE",
    "timeout": "a body that takes too long is stopped and says so",
    "partial_failure": "one item that fails does not stop the rest, and is reported",
    "chain_stop": "after a step that failed for good no later step runs, and who waits learns why",
    "progress": "how far it is can be seen while it runs",
    "idempotency": "sent twice, done once; the second gets the stored result",
}


@dataclass(frozen=True)
class Due:
    """A cell that waits for a capability: its name in ``capabilities.AWAITED``."""

    capability: str


class Entry:
    """The cells of one subject. A case is a test: a method that asks for the fixtures it needs by name (``drain``
    among them), sends to its subject, and asserts what ``handle`` and the outside world then show. It runs on
    every broker. Helpers of an entry begin with an underscore."""


class Entries(dict[str, type[Entry]]):
    """The entries by the name of their subject."""

    def add(self, name: str, entry: type[Entry]) -> None:
        if name in self:
            raise ValueError(f"{name!r} has two entries in the matrix: {self[name].__name__}, {entry.__name__}")
        self[name] = entry


#: What ``cases/`` declares.
ENTRIES = Entries()

E = TypeVar("E", bound=type[Entry])


def matrix_entry(subject: str, *, into: Entries = ENTRIES) -> Callable[[E], E]:
    """Make the decorated class the entry of the subject of this name.

    Raises:
      ValueError: the subject has an entry already.
    """

    def declare(entry: E) -> E:
        into.add(subject, entry)
        return entry

    return declare


def cell_of(entry: type[Entry], row: str) -> Any:
    """What the entry has for ``row``: a case (bound), an ``Excuse``, a ``Due``; None when it has nothing."""
    return getattr(entry(), row, None)
