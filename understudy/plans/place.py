"""What a message of a workflow carries: its place, and where its input is. Never the rest of the workflow.

The id of a message is the workflow's, a point, and the number of its node, so that the place of one that never ran is
known by its id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The option that names the place of a message, and the one that names its input.
WORKFLOW, TAKES = "workflow", "takes"

_ID = re.compile(r"(.+)\.(\d+)", re.DOTALL)
_CALLBACK = re.compile(r"(.+)\.\d+\.c\d+", re.DOTALL)


def node_id(workflow: str, node: int) -> str:
    """The id of the message, or of the group, that is ``node``."""
    return f"{workflow}.{node}"


def parse_id(message_id: str) -> tuple[str, int] | None:
    """The workflow and the node that an id may name; None when it cannot be that of one."""
    found = _ID.fullmatch(message_id)
    return None if found is None else (found[1], int(found[2]))


def workflow_of(message_id: str) -> str:
    """The workflow of a message that is a node or a callback of one.

    Raises:
      ValueError: it is neither.
    """
    found = _CALLBACK.fullmatch(message_id) or _ID.fullmatch(message_id)
    if found is None:
        raise ValueError(f"{message_id!r} is not the id of a message of a workflow")
    return found[1]


@dataclass(frozen=True)
class Stream:
    """A stream of a queue, by its level."""

    queue: str
    level: int

    def __str__(self) -> str:
        return f"{self.queue}:{self.level}"


def spelled(streams: tuple[Stream, ...]) -> str:
    """Streams as they travel. The name of a queue has neither blanks nor points nor commas in it."""
    return ",".join(map(str, streams))


def streams_in(text: str) -> tuple[Stream, ...]:
    """What ``spelled`` wrote."""
    pairs = (part.rpartition(":") for part in text.split(",") if part)
    return tuple(Stream(queue, int(level)) for queue, _, level in pairs)


@dataclass(frozen=True)
class Place:
    """Where a message stands.

    Attributes:
      node: its number.
      up: the number of the group that it is a member of, "-" when there is none.
      streams: where what follows it may be put; nodes mean them by their numbers.
    """

    workflow: str
    node: int
    up: str
    streams: tuple[Stream, ...]

    @classmethod
    def of(cls, message_id: str, options: Mapping[str, Any]) -> Place | None:
        """The place of a message; None when it belongs to no workflow."""
        told, found = options.get(WORKFLOW), parse_id(message_id)
        if found is None or not isinstance(told, dict):
            return None
        return cls(*found, up=str(told.get("up", "-")), streams=streams_in(str(told.get("to", ""))))

    def option(self) -> dict[str, str]:
        """The option that a message carries."""
        told = {} if self.up == "-" else {"up": self.up}
        return told | ({"to": spelled(self.streams)} if self.streams else {})
