"""Group commit: outcomes of many threads share a round trip, and an idle worker commits at once.

There is no thread for it. Whoever has an outcome puts it in line; whoever finds nobody committing commits what stands
in line, its own and those that come meanwhile. So one thread waits for the round trip, and the others leave their
outcome behind and go on with the next message. While more messages wait in this process than threads can take, an
outcome may stand in line until there are ``ENOUGH``, or until the upkeep comes by a few milliseconds later.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass

from understudy.errors import ServerUnavailable
from understudy.holds import GROUP
from understudy.storage.client import Storage, Value
from understudy.uniqueness import refusals

from .operations import Operations
from .tally import Counted, arguments

logger = logging.getLogger(__name__)

#: Outcomes that share a round trip, and their size in bytes, at the most.
MOST, LARGEST = 256, 1024 * 1024
#: Outcomes that are worth a round trip while there is more to do.
ENOUGH = 96
#: Seconds between two attempts while the server is away: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0

#: What the script says of an outcome: committed; lost (the message is not held any more); finished before.
COMMITTED, LOST, FINISHED = "c", "l", "f"
#: ... or that nothing was written and the message is still held: its claim is another's; it is revoked, so nothing goes
#: on in its place; a key holds something else.
UNCLAIMED, REVOKED, MISFIT = "u", "r", "e"


@dataclass(slots=True)
class Settlement:
    """An outcome in line. ``write`` puts its operations into a batch and returns how many; ``done`` is told the
    verdict, and before it ``refused`` what was left out of the batch as duplicates (see ``uniqueness.refusals``).
    ``counted`` is what is counted if it is committed."""

    stream: str
    entry: str
    size: int
    write: Callable[[Operations], int]
    done: Callable[[str], None]
    refused: Callable[[dict[int, str]], None] | None = None
    counted: Counted | None = None


class Committer:
    """Commits settlements of one worker process.

    Attributes:
      pause: how an outage is waited out; takes seconds, returns False when the process ends and gives up.

    Args:
      busy: whether this process has more to do, and somebody who comes by to commit what stands in line.
      repair: makes streams and their group again that the server says it has not.
      waiting: a context around each wait for the server.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        worker: str,
        pause: Callable[[float], bool],
        busy: Callable[[], bool] = lambda: False,
        repair: Callable[[Sequence[str]], object] = lambda streams: None,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._storage = storage
        self._batch_key = storage.keys.batch(worker)
        self._line: deque[Settlement] = deque()
        self._lock = threading.Lock()
        self._number = 0
        self._busy = busy
        self._repair = repair
        self._waiting = waiting
        self.pause = pause

    def __len__(self) -> int:
        return len(self._line)

    def submit(self, settlement: Settlement, *, at_once: bool = False) -> None:
        """Put an outcome in line, and commit if nobody does and nothing better is to be done."""
        self._line.append(settlement)
        if at_once or len(self._line) >= ENOUGH or not self._busy():
            self.flush()

    def flush(self) -> bool:
        """Commit what stands in line. False when the process gave up with something left."""
        # Looking again after the release closes the gap in which somebody else left an outcome to us.
        while self._line:
            if not self._lock.acquire(blocking=False):
                return True
            try:
                batch = self._take()
                left = self._commit_or_divide(batch)
                if left:
                    self._line.extendleft(reversed(left))
                    return False
            finally:
                self._lock.release()
        return True

    def finish(self) -> bool:
        """Wait for whoever commits just now, and commit what is left. False as in ``flush``."""
        with self._lock:
            pass
        return self.flush()

    def _take(self) -> list[Settlement]:
        batch: list[Settlement] = []
        size = 0
        while self._line and len(batch) < MOST and (not batch or size + self._line[0].size <= LARGEST):
            batch.append(self._line.popleft())
            size += batch[-1].size
        return batch

    def _commit_or_divide(self, batch: Sequence[Settlement]) -> Sequence[Settlement]:
        """Commit a batch; returns what is left of it when the process gives up. Nothing is dropped in silence: what
        fails in a way that nobody has foreseen is tried again by itself, and then told to whoever settles it."""
        try:
            return batch if batch and not self._commit(batch) else ()
        except Exception:
            logger.exception("%d outcomes could not be committed together", len(batch))
        for number, settlement in enumerate(batch):
            try:
                if not self._commit([settlement]):
                    return batch[number:]
            except Exception:
                logger.exception("an outcome could not be committed")
                _tell(settlement, MISFIT)
        return ()

    def _commit(self, batch: Sequence[Settlement]) -> bool:
        self._number += 1
        operations = Operations(self._storage.keys.clock, self._batch_key)
        args = operations.args
        for settlement in batch:
            args += (operations.number(settlement.stream), settlement.entry, "")
            count_at = len(args) - 1
            args[count_at] = str(settlement.write(operations))
        tally = [settlement.counted for settlement in batch]
        if any(tally):
            args += arguments(operations.number(self._storage.keys.counters), tally)
        head: list[Value] = [str(self._number), GROUP, str(len(batch))]
        reply = self._ask(operations.keys, [*head, *args], {settlement.stream for settlement in batch})
        if reply is None:
            return False
        verdicts, refused = reply[: len(batch)].decode(), refusals(reply[len(batch) :])
        for settlement, verdict in zip(batch, verdicts, strict=True):
            if refused and settlement.refused is not None:
                settlement.refused(refused)
            _tell(settlement, verdict)
        return True

    def _ask(self, keys: list[str], args: list[Value], streams: set[str]) -> bytes | None:
        pause = FIRST_PAUSE
        while True:
            try:
                with self._waiting():
                    reply: bytes = self._storage.run("settle", keys, args)
                return reply
            except ServerUnavailable as error:
                logger.warning("%s outcomes wait for the server: %s", len(self._line) + 1, error)
                if "NOGROUP" in str(error):
                    # It has lost its data. With the group made again it can say that these outcomes are lost.
                    with suppress(ServerUnavailable):
                        self._repair(sorted(streams))
                if not self.pause(pause):
                    return None
                pause = min(pause * 2, LONGEST_PAUSE)


def _tell(settlement: Settlement, verdict: str) -> None:
    try:
        settlement.done(verdict)
    except Exception:
        # The others of its batch must hear of theirs, or they are held for ever.
        logger.exception("an outcome was settled (%s), and what follows from that here failed", verdict)
