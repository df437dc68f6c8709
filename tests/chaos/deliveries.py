"""The deliveries of a campaign, as the journal tells of them, and which item each may have left in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

#: How a delivery may leave its campaign before the end: handed back at the next item, or stopped as a zombie.
HANDED_BACK, STOPPED = "HandBack", "LeaseLost"


@dataclass
class Delivery:
    """One delivery: what it noted, in order.

    Attributes:
      at: the line of the journal at which it started.
      steps: (line of the journal, word, item) of its beginnings and ends of items.
      left: why it left before the end; "" if it did not, or was killed.
      left_at: the line at which it said so.
    """

    token: str
    pid: int
    at: int
    steps: list[tuple[int, str, int]] = field(default_factory=list)
    left: str = ""
    left_at: int = -1

    @property
    def begun(self) -> list[int]:
        """The items that it began, in order."""
        return [item for _, word, item in self.steps if word == "begins"]

    @property
    def last(self) -> tuple[str, int]:
        """The last thing that it did."""
        return self.steps[-1][1:] if self.steps else ("starts", -1)

    def late(self, line: int) -> set[int]:
        """The items of which it noted something behind ``line``."""
        return {item for at, _, item in self.steps if at > line}


def deliveries(lines: Iterable[str]) -> dict[str, list[Delivery]]:
    """By the name of the campaign, in the order in which they started."""
    found: dict[str, dict[str, Delivery]] = {}
    for at, line in enumerate(lines):
        name, word, about, pid, token = line.split()
        one = found.setdefault(name, {}).setdefault(token, Delivery(token, int(pid), at))
        if word == "leaves":
            one.left, one.left_at = about, at
        elif word != "starts":
            one.steps.append((at, word, int(about)))
    return {name: list(by_token.values()) for name, by_token in found.items()}


def in_flight(runs: list[Delivery], count: int) -> list[tuple[set[int], bool]]:
    """For each delivery of a campaign whose doubtful items are skipped: the items one of which it may have left in
    doubt, and whether it must have.

    An item is closed, and the next one opened, in one step. So whoever dies in the middle of an item leaves that one;
    whoever dies behind the end of an item leaves it, or the next one, of which nothing is noted then.
    """
    begun = {item for run in runs for item in run.begun}
    found: list[tuple[set[int], bool]] = []
    behind = -1
    for run in runs:
        word, item = run.last
        if run.left == HANDED_BACK:
            found.append((set(), False))
        elif word == "begins":
            found.append(({item}, True))
        elif word == "ends":
            found.append(({item, item + 1} - (begun - {item}), item < count - 1))
        else:
            unnoted = set(range(behind + 1, behind + 1 + len(runs) + 1))
            found.append((unnoted - begun, False))
        behind = max(behind, item)
    return found


def check_skipped(name: str, runs: list[Delivery], count: int, reported: Collection[int]) -> None:
    """Nobody twice; what is reported as in doubt is what was in flight, one item for each delivery that was lost."""
    begins = Counter(item for run in runs for item in run.begun)
    ends = Counter(item for run in runs for _, word, item in run.steps if word == "ends")
    twice = [item for item, times in begins.items() if times > 1]
    assert not twice, f"{name}: begun twice: {twice}"
    for item in range(count):
        assert item in reported or ends[item] == 1, f"{name}: item {item} is neither done nor reported"
    left = sorted(reported)
    for run, (choices, must) in zip(runs, in_flight(runs, count), strict=True):
        of_it = next((item for item in left if item in choices), None)
        if of_it is None:
            assert not must, f"{name}: {choices} was in flight at the end of {run.token}, and is not reported"
        else:
            left.remove(of_it)
    assert not left, f"{name}: {left} are reported as in doubt, and nobody died there"


def check_repeated(name: str, runs: list[Delivery], count: int) -> None:
    """Every item is done; one is begun again only if the delivery before was lost in the middle of it."""
    of_item: dict[int, list[Delivery]] = {}
    for run in runs:
        assert len(set(run.begun)) == len(run.begun), f"{name}: {run.token} began an item twice"
        for item in run.begun:
            of_item.setdefault(item, []).append(run)
    ended = {item for run in runs for _, word, item in run.steps if word == "ends"}
    assert ended == set(range(count)), f"{name}: {set(range(count)) - ended} were not done"
    for item, begun in of_item.items():
        for run in begun[:-1]:
            assert run.begun[-1] == item, f"{name}: {item} was begun again, and {run.token} had gone on"
            assert run.left != HANDED_BACK, f"{name}: {item} was begun again, and was handed back at its end"
    for run in runs[:-1]:
        if run.last[0] == "begins" and run.left != HANDED_BACK:
            assert of_item[run.last[1]][-1] is not run, f"{name}: {run.last[1]} was in flight, and is not repeated"


def check_zombies(name: str, runs: list[Delivery]) -> None:
    """Once another delivery has started, one that was paused ends the item that it is at, at the most, and stops."""
    for run, after in pairwise(runs):
        assert run.left in ("", HANDED_BACK, STOPPED), f"{name}: {run.token} left with {run.left}"
        late = run.late(after.at)
        assert len(late) <= 1, f"{name}: {run.token} went on with {late} although another had the message"
        if late:
            assert run.begun[-1] in late
        if run.left_at > after.at:
            assert run.left == STOPPED, f"{name}: {run.token} left with {run.left} although another had the message"
