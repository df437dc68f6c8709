"""Following messages until all have ended, told by the server and not by asking fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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

    def read(self) -> list[str]:
        """Read what may have changed; returns the ids whose record has.

        Raises:
          ServerUnavailable: the server cannot be asked.
        """
        changed = []
        for id in self.ids:
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
        deadline = None if timeout is None else clock.monotonic() + timeout
        told = storage.subscribe(storage.keys.channel(self.ids[0]))
        try:
            with storage.exchange("subscribe"):
                for id in self.ids[1:]:
                    told.subscribe(storage.keys.channel(id))
            while True:
                changed = self.read()  # after subscribing, so that no change is missed
                if changed:
                    yield changed
                left = LOOK_AGAIN if deadline is None else min(LOOK_AGAIN, deadline - clock.monotonic())
                if self.over or left <= 0:
                    return
                with storage.exchange("wait"):
                    if told.get_message(timeout=left) is not None:
                        # What else is said within a moment is one look.
                        until = clock.monotonic() + PAUSE
                        while (rest := until - clock.monotonic()) > 0:
                            told.get_message(timeout=rest)
        finally:
            told.close()
