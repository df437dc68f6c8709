"""What a child process is told at its start, and how it says that it failed. Standard library only."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass


class BenchmarkError(Exception):
    """A measurement could not be made; the text says of which process, and the end of its log."""


@dataclass(frozen=True)
class Spec:
    """One process of one contender.

    Args:
      side: ``understudy``, ``stock`` or ``celery``.
      url: the server, as ``unix:///path`` or ``redis://...``.
      namespace: what this measurement's keys begin with, where the side can say so.
      threads: how many bodies run at once in a worker.
      results: whether results are stored, where that is a choice of the whole side.
      quick_recovery: the side's documented settings for finding dead workers fast.
      tape: where bodies note when they ran; None in a process that runs none.
      capacity: records of each tape.
      watched: the tapes that a sender waits on.
      core: the core that its worker is bound to; None leaves that to the system.
      hold: bodies of kind ``hold`` do not end.
    """

    side: str
    url: str
    namespace: str
    threads: int = 8
    results: bool = False
    quick_recovery: bool = False
    tape: str | None = None
    capacity: int = 0
    watched: tuple[str, ...] = ()
    core: int | None = None
    hold: bool = False

    def dumps(self) -> str:
        """As one line of text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> Spec:
        """The spec that ``dumps`` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "watched": tuple(fields["watched"])})
