"""Following messages until all have ended, told by the server and not by asking fast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from understudy import clock
from understudy.records import Record, Records
from understudy.states import State

#: Seconds after which we look although nobody told us: a notification may be lost in an outage.
LOOK_AGAIN = 2.0
#: Seconds between two looks at the least: a screen need not be drawn faster.
PAUSE = 0.1


class Watch:
    """Some messages, and their records as they were read last. An id given twice counts once."""

    def __init__(self, source: Records, ids: Sequence[str]) -> None:
        self.ids = list(dict.fromkeys(ids))
        self.records: dict[str, Record] = {}
        self._source = source

    @property
    def over(self) -> bool:
        """Whether every message has ended."""
        return all(id in self.records and self.records[id].state.terminal for id in self.ids)

    @property
    def succeeded(self) -> bool:
        """Whether every message has ended well."""
        return all(id in self.records and self.records[id].state is State.SUCCESS for id in self.ids)

    def read(self, ids: Iterable[str] | None = None) -> list[str]:
        """Read what may have changed, of all or of ``ids``; returns the ids whose record has.

        Raises:
          ServerUnavailable: the server cannot be asked.
        """
        changed = []
        for id in self.ids if ids is None else ids:
            before = self.records.get(id)
            if before is not None and before.state.terminal:
                continue  # kept, although it expires on the server some day
            self.records[id] = self._source.read(id)
            if before is None or self.records[id].fields != before.fields:
                changed.append(id)
        return changed

    def changes(self, timeout: float | None = None) -> Iterator[list[str]]:
        """The ids that changed, each time some have; ends when all messages have, or after ``timeout`` seconds.

        Raises:
          ServerUnavailable: the server cannot be asked.
        """
        storage = self._source.storage
        channels = {storage.keys.channel(id).encode(): id for id in self.ids}
        deadline = math.inf if timeout is None else clock.monotonic() + timeout
        told = storage.subscribe(storage.keys.channel(self.ids[0]))
        try:
            if len(channels) > 1:
                with storage.exchange("subscribe"):
                    told.subscribe(*channels)
            changed, look_again = self.read(), clock.monotonic() + LOOK_AGAIN  # after subscribing: no change is missed
            while True:
                if changed:
                    yield changed
                if self.over or clock.monotonic() >= deadline:
                    return
                names = self._told(told, until=min(look_again, deadline))
                changed = self.read(channels[name] for name in names if name in channels)
                if clock.monotonic() >= look_again:
                    changed += self.read()
                    look_again = clock.monotonic() + LOOK_AGAIN
        finally:
            told.close()

    def _told(self, subscription: Any, until: float) -> list[bytes]:
        """The channels on which something is said, once something is, and what else is said within a moment."""
        names: dict[bytes, None] = {}
        with self._source.storage.exchange("wait"):
            while (left := until - clock.monotonic()) > 0:
                message = subscription.get_message(timeout=left)
                if message is None:
                    continue  # that of a subscription, or none came
                if not names:
                    until = min(until, clock.monotonic() + PAUSE)
                names[message["channel"]] = None
        return list(names)
