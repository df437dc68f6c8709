"""What sends webhooks in unit tests: it keeps them, or fails as planned."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from .web_answers import Reply


class Posted(NamedTuple):
    """A webhook that was taken over."""

    url: str
    message_id: str
    payload: Any


class MemoryWeb:
    """A ``Web`` that posts into a list.

    Attributes:
      posted: what was delivered, in order.
      attempts: how often ``post`` was called.
      on_post: called with the URL before anything happens; a test moves the time there, or raises.
    """

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.attempts = 0
        self.on_post: Callable[[str], None] | None = None
        self._next: list[BaseException] = []

    def fail_next(self, failure: BaseException, times: int = 1) -> None:
        """The next ``times`` posts raise ``failure``. Calls add up."""
        self._next += [failure] * times

    def post(self, url: str, body: bytes, *, message_id: str) -> Reply:
        """Deliver, or fail as planned."""
        self.attempts += 1
        if self.on_post is not None:
            self.on_post(url)
        if self._next:
            raise self._next.pop(0)
        self.posted.append(Posted(url, message_id, json.loads(body)))
        return Reply(200)
