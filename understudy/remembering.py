"""Where ``each`` keeps what is known of items: on the server under the hold of the execution, or nowhere.

Places say what is remembered of items that are over:

- ``"keys"``: a mark each, under the item's key, so that they may come in any order;
- ``"order"``: how many come first in the source, and a digest of their keys in turn;
- ``"cursor"``: the position of the last one, as the cursor names it.

In the last two an item has a mark of its own only while it is open, when an item before it was put off, or to keep the
reason of a failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

from .errors import ItemsChanged
from .execution import Execution
from .ledger import Ledger, decoded, link
from .options import OnDoubt
from .outcome import Outcome

Place = Literal["keys", "order", "cursor"]

DONE = "1"
FAILED = "!"
#: The mark of an item of which nobody heard whether it was opened: one that is in doubt stays so, and is counted later.
UNHEARD = "?"
#: Between the name of a loop and the key of an item. The ledger of the loop has the empty key, which no item has.
SEPARATOR = "\x1f"


def settled(mark: str) -> bool:
    """Whether nothing is left to do for an item with this mark."""
    return mark == DONE or mark.startswith(FAILED)


class Store:
    """Which items are over. This one forgets all of it: outside of a worker, for as long as the iteration lasts.

    Attributes:
      ledger: the loop as a whole, with what the server was not told yet.
      open_key: the item that is worked on; ``mark`` is what it will be closed with, empty when it is put off.
      put_off: the items that were put off in this execution.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ledger = Ledger()
        self.open_key, self.mark, self._after = "", DONE, ""
        self._held_back = ""
        self.put_off: set[str] = set()
        #: Open for this delivery, and not begun.
        self._ready: deque[str] = deque()
        #: What the server was not told yet.
        self._closing: dict[str, str] = {}
        self._blocked = False
        self._known: dict[str, str] = {}

    def load(self) -> Ledger:
        """The ledger, from the server if it was not asked yet."""
        return self.ledger

    def lookup(self, keys: Sequence[str]) -> list[str]:
        """The marks of ``keys`` as they were left, empty where there is none."""
        return [self._known.get(key, "") for key in keys]

    def reasons(self, most: int) -> dict[str, str]:
        """At most so many marks of items that failed and are not come across again."""
        return {}

    def exchange(self, opens: Sequence[str]) -> list[tuple[str, str]]:
        """Close what is over, take back what was opened and not begun, open the next: the verdict and mark of each."""
        if self.place == "keys":  # elsewhere an item that is over does not come again
            self._known.update(self._closing)
        self._closing.clear()
        marks = self.lookup(opens)
        self._ready = deque(key for key, mark in zip(opens, marks, strict=True) if not mark)
        return [("closed", mark) if mark else ("open", "") for mark in marks]

    def confirm(self) -> None:
        """See that the message is still held here, as far as is known without asking.

        Raises:
          LeaseLost: it is not.
        """

    def begin(self, key: str, after: str) -> None:
        """``key``, the next of those that were opened, is given out now."""
        self._ready.popleft()
        self.open_key, self.mark, self._after = key, DONE, after

    def hold_back(self) -> None:
        """The item that was given out has not reached the body: it counts as not begun until it is given again."""
        self._ready.appendleft(self.open_key)
        self._held_back, self.open_key = self.open_key, ""

    def give_again(self) -> None:
        """The item that was held back is given out now."""
        self.begin(self._held_back, self._after)

    def end(self) -> None:
        """The item that was given out is over, whatever follows."""
        key, self.open_key = self.open_key, ""
        self.settle(key, self.mark, self._after)

    def settle(self, key: str, mark: str, after: str) -> None:
        """``key`` is over now, with ``mark``."""
        if not mark:
            self.put_off.add(key)
            self._blocked = True  # whoever goes on must come across it
        elif mark == DONE:
            self.ledger.done += 1
        else:
            self.ledger.failed += 1
        moved = self.pass_by(key, after)
        # The position says that it is over: what is kept is the reason of a failure, if there is one.
        self._closing[key] = "" if moved and mark in (DONE, FAILED) else mark

    def pass_by(self, key: str, after: str) -> bool:
        """The next item of the source is over; whether the position moved behind it."""
        if self.place == "keys" or self._blocked:
            return False
        self.ledger.position += 1
        if self.place == "order":
            self.ledger.chain = link(self.ledger.chain, key)
        else:
            self.ledger.after = after
        return True


class Remembered(Store):
    """In a worker: on the server, under the hold of the execution."""

    def __init__(self, place: Place, execution: Execution, on_doubt: OnDoubt, name: str) -> None:
        super().__init__(place)
        self.prefix = name + SEPARATOR
        self._execution = execution
        self._on_doubt = on_doubt
        #: The ledger as the server has it; None before it was asked.
        self._told: str | None = None
        #: Set while the server is asked to open items: they were not given out then.
        self._opening: Sequence[str] = ()

    def load(self) -> Ledger:
        if self._told is None:
            self.lookup(())
        return self.ledger

    def lookup(self, keys: Sequence[str]) -> list[str]:
        execution, first = self._execution, self._told is None
        if first:
            keys = [*keys, ""]
        marks = execution.records.marks(execution.items_scope, [self.prefix + key for key in keys])
        if first:
            self._told = marks.pop()
            self.ledger = decoded(self._told)
            self._check_place()
        return marks

    def reasons(self, most: int) -> dict[str, str]:
        if self.place == "keys" or not self.load().failed:
            return {}
        execution = self._execution
        return execution.records.marks_under(execution.items_scope, self.prefix, start=FAILED, most=most)

    def exchange(self, opens: Sequence[str]) -> list[tuple[str, str]]:
        execution, told = self._execution, self.ledger.encoded()
        execution.confirm()
        self._opening = opens
        reply = execution.records.items(
            execution.items_scope,
            execution.hold,
            close=self._unsaid(told),
            opens=[self.prefix + key for key in opens],
            on_doubt=self._on_doubt,
        )
        execution.confirm(reply is not None)
        verdicts = reply or []
        execution.came_on = execution.came_on or told != (self._told or "")
        self._opening, self._told = (), told
        self._closing.clear()
        given = [verdict in ("open", "repeat") for verdict, _ in verdicts]
        self._ready = deque(key for key, is_given in zip(opens, given, strict=True) if is_given)
        self.ledger.in_doubt += sum(verdict == "repeat" for verdict, _ in verdicts)
        return verdicts

    def confirm(self) -> None:
        self._execution.confirm()

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        """What the server does not know yet goes with the outcome."""
        for key in self._opening:
            outcome.marks[self.prefix + key] = UNHEARD
        if self.open_key and (self.mark != DONE or exception is None):
            self.end()
        elif self.open_key and isinstance(exception, Exception) and not self._execution.cut_off:
            self._closing[self.open_key] = ""
        # Else it was interrupted from outside in the middle of the item: it stays in doubt.
        outcome.marks.update(self._unsaid(self.ledger.encoded()))

    def _unsaid(self, ledger: str) -> dict[str, str]:
        """The marks that the server is not told yet."""
        marks = {**dict.fromkeys(self._ready, ""), **self._closing}
        if ledger != (self._told or ""):
            marks[""] = ledger
        return {self.prefix + key: mark for key, mark in marks.items()}

    def _check_place(self) -> None:
        ledger = self.ledger
        kept: Place = "keys" if not ledger.position else "cursor" if ledger.after else "order"
        if kept not in ("keys", self.place):
            raise ItemsChanged(
                f"{ledger.position:,} items were done by each() as {_SAID[kept]}, which is not what it is told now; "
                "nothing was repeated: let it be as it was, or send the message anew"
            )


_SAID: dict[Place, str] = {"keys": "", "order": "each(ordered=True)", "cursor": "each(cursor=...)"}
