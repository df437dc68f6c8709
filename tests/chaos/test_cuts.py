"""Connections that are cut at every point of every exchange; workers, sender and server all live (P1, P2).

What was accepted is compared with what took effect: a send that returned is one entry, runs once and ends; no outcome
is refused; no item is repeated. A body may run again in two cases only: its worker was killed while it ran, or an
exchange that it waited for failed in every attempt; then its message went back to the queue, and burned no attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet
from dramatiq import Message

from tests.chaos.proxy import Cut, Point
from tests.chaos.wired import Wired, wired
from understudy.errors import ServerUnavailable
from understudy.handle import Handle
from understudy.states import State
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
ITEMS = 4
POINTS = list(Point)
#: How often a client sends a command before it gives up.
ATTEMPTS = 4
#: The exchanges of a message on its way, and ``hmget``, by which a body asks which items are done.
EXCHANGES = ["send", "enqueue", "fetch", "settle", "started", "promote", "claims", "claim", "item", "progress", "hmget"]
#: ... and where some of them are not cut by `make test`,
LATER = [
    *((name, Point.BEFORE) for name in ("fetch", "claims", "progress", "hmget")),
    *((name, Point.HALF) for name in ("fetch", "claims", "progress", "hmget", "started")),
]
#: ... those for which a body waits, or that come before it: where they fail for good, the message goes back.
GUARDING = ["claim", "item", "progress", "hmget"]
#: Those that are tried in every attempt by `make test` too. What was promoted once is not promoted in a second attempt.
SHORT = {
    **dict.fromkeys(["claim", "claims", "item", "settle"], Point.AFTER),
    "promote": Point.BEFORE,
}
#: Rounds in which every planned cut must have been made.
ROUNDS = 30

_numbers = count()


def mostly_long(*short: Point) -> list[ParameterSet]:
    """All points; all but ``short`` with the long tests."""
    return [pytest.param(point, marks=() if point in short else pytest.mark.chaos_long) for point in POINTS]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    """One worker for all the tests that leave it as it was."""
    with wired(tmp_path_factory.mktemp("cuts")) as made:
        made.workers(1)
        yield made


@pytest.fixture
def stage(line: Wired) -> Iterator[Wired]:
    line.plant.send("note", "warm").get(timeout=TIMEOUT)
    line.zombies()
    yield line
    line.proxy.spare()


class Load:
    """Messages of every kind that a cut may hit, sent through the proxy one by one, and some of them at once.

    ``in_turn``: each ends before the next is sent, so that whatever is cut is cut for one alone.
    """

    def __init__(self, stage: Wired, size: int = 1, *, in_turn: bool = False) -> None:
        self.stage = stage
        self.in_turn = in_turn
        self.entries = stage.entries()
        self.once: list[str] = []
        self.sent: list[Handle] = []
        self.steps: list[Handle] = []
        for _ in range(size):
            self.once.append(self._send("note"))
            self.once.append(self._send("note", delay=30))
            self.once.append(self._send("slow", 0.05))
            self._send("once")  # would fail if a claim that nobody heard of looked like that of a dead worker
            self._add_steps(stage.message("steps", self._name(), ITEMS), at_once=False)
        several = [stage.message("steps", self._name(), ITEMS) for _ in range(0 if in_turn else 4)]
        stage.sender.transmit_many((message, None) for message in several)
        for message in several:
            self._add_steps(message, at_once=True)

    def _name(self) -> str:
        return f"m{next(_numbers)}"

    def _send(self, actor: str, *args: object, delay: int | None = None) -> str:
        name = self._name()
        self._sent(self.stage.send(actor, name, *args, delay=delay))
        return name

    def _sent(self, handle: Handle) -> None:
        self.sent.append(handle)
        if self.in_turn:
            self.stage.plant.wait_for_all([handle], timeout=TIMEOUT)

    def _add_steps(self, message: Message[Any], *, at_once: bool) -> None:
        handle = self.stage.handle(message) if at_once else self.stage.attempt(message)
        self._sent(handle)
        self.steps.append(handle)
        self.once += [f"{message.args[0]}/{item}" for item in range(ITEMS)]

    def check(self) -> int:
        """All of it ended well, and took effect once. Returns how many entries came in beside those that were sent."""
        stage = self.stage
        stage.plant.wait_for_all(self.sent, timeout=TIMEOUT)
        assert [handle.result for handle in self.sent if not handle.successful()] == []
        effects = stage.plant.effects()
        assert {name: effects[name] for name in self.once if effects[name] != 1} == {}
        assert [handle.get(timeout=1) for handle in self.steps] == [ITEMS] * len(self.steps)
        assert [handle.progress for handle in self.steps] == [{"current": ITEMS, "total": ITEMS}] * len(self.steps)
        assert [handle.retries for handle in self.sent] == [0] * len(self.sent)
        assert stage.zombies() == []
        wait_until(lambda: stage.plant.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing is left")
        return stage.entries() - self.entries - len(self.sent)


def until_made(stage: Wired, *cuts: Cut, in_turn: bool = False) -> int:
    """Send and check until all cuts are made; returns how many entries came in beside those that were sent."""
    more = 0
    for _ in range(ROUNDS):
        more += Load(stage, in_turn=in_turn).check()
        if all(cut.done == cut.times for cut in cuts):
            return more
    raise AssertionError(f"not every cut was made: {cuts}")


@pytest.mark.parametrize(
    ("name", "point"),
    [
        pytest.param(name, point, marks=pytest.mark.chaos_long if (name, point) in LATER else ())
        for name in EXCHANGES
        for point in POINTS
    ],
)
def test_an_exchange_that_is_cut_and_resent_takes_effect_once(name: str, point: Point, stage: Wired) -> None:
    # A cut read costs its worker a pause, so there is one.
    cut = stage.proxy.cut(name, point, every=2, times=1 if name == "fetch" else 2)
    assert until_made(stage, cut) == 0


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("name", "delay"), [("send", None), ("enqueue", 30)])
def test_a_send_that_fails_was_accepted_once_if_it_took_effect_and_else_not_at_all(
    name: str, delay: int | None, point: Point, stage: Wired
) -> None:
    before = stage.entries()
    cut = stage.proxy.cut(name, point, times=ATTEMPTS)
    doubtful = stage.message("note", f"{name}-{point.name}")
    with pytest.raises(ServerUnavailable, match="did not answer"):
        stage.attempt(doubtful, delay=delay)
    assert cut.done == ATTEMPTS
    # The next call of this sender takes nothing of the last one for its own.
    assert stage.attempt(stage.message("note", f"later-{name}-{point.name}"), delay=delay).get(timeout=TIMEOUT)
    accepted = 0 if point is Point.BEFORE else 1
    wait_until(lambda: stage.entries() - before > accepted, timeout=TIMEOUT, what="so many are accepted")
    wait_until(lambda: stage.plant.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing is left")
    assert stage.entries() - before == accepted + 1
    assert stage.plant.effects()[f"{name}-{point.name}"] == accepted


@pytest.mark.parametrize("point", POINTS)
def test_many_messages_in_one_cut_request_are_accepted_once_each(point: Point, stage: Wired) -> None:
    before = stage.entries()
    cut = stage.proxy.cut("enqueue", point, times=2)
    names = [f"{point.name}-of-many/{n}" for n in range(20)]
    stage.sender.transmit_many((stage.message("note", name), 0.03 if name.endswith("7") else None) for name in names)
    assert cut.done == 2
    wait_until(lambda: set(names) <= set(stage.plant.effects()), timeout=TIMEOUT, what="all of them ran")
    wait_until(lambda: stage.plant.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing is left")
    assert [stage.plant.effects()[name] for name in names] == [1] * 20
    assert stage.entries() - before == 20


@pytest.mark.parametrize("point", mostly_long(Point.AFTER))
def test_what_a_cut_settlement_sends_exists_once(point: Point, stage: Wired) -> None:
    cut = stage.proxy.cut("settle", point, every=2, times=4)
    for round_ in range(ROUNDS):
        before = stage.entries()
        name = f"{point.name}{round_}"
        children = {f"{name}/{n}" for n in range(5)}
        sent = [stage.send("fan", name, 5), stage.send("flaky", f"{name}-flaky", 1)]
        stage.plant.wait_for_all(sent)
        wait_until(lambda: children <= set(stage.plant.begun()), timeout=TIMEOUT, what="what it sent has run")  # noqa: B023
        wait_until(lambda: stage.plant.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing is left")
        begun = stage.plant.begun()
        assert {one: len(begun[one]) for one in [name, *children] if len(begun[one]) != 1} == {}
        assert stage.plant.effects()[f"{name}-flaky"] == 1
        assert [one.retries for one in sent] == [0, 1]
        assert stage.entries() - before == 2 + 5 + 1  # the retry is one more
        assert stage.zombies() == []
        if cut.done == cut.times:
            return
    raise AssertionError(f"not every cut was made: {cut}")


@pytest.mark.parametrize("point", mostly_long(Point.HALF))
def test_messages_that_were_handed_out_in_a_lost_reply_are_taken_up_though_that_is_cut_too(
    point: Point, stage: Wired
) -> None:
    lost = stage.proxy.cut("fetch", Point.AFTER)
    cut = stage.proxy.cut("take-up", point)
    assert until_made(stage, lost, cut) == 0


@pytest.mark.parametrize("point", mostly_long(Point.AFTER))
def test_a_beginning_whose_mark_is_cut_in_every_attempt_is_marked_in_the_end(point: Point, stage: Wired) -> None:
    cut = stage.proxy.cut("started", point, times=ATTEMPTS + 1)
    sent = stage.send("slow", f"{point.name}-is-shown", 1.0)
    wait_until(lambda: sent.status is State.STARTED, timeout=TIMEOUT, what="it is shown as begun")
    assert not sent.ready()
    wait_until(lambda: cut.done == ATTEMPTS + 1 or sent.ready(), timeout=TIMEOUT)
    assert cut.done == ATTEMPTS + 1
    assert sent.get(timeout=TIMEOUT)
    assert stage.zombies() == []


@pytest.mark.parametrize(
    ("name", "point"),
    [
        pytest.param(name, point, marks=() if SHORT.get(name) is point else pytest.mark.chaos_long)
        for name in [*GUARDING, "claims", "settle", "promote", "fetch"]
        for point in POINTS
    ],
)
def test_an_exchange_that_fails_in_every_attempt_loses_nothing_and_repeats_no_item(
    name: str, point: Point, stage: Wired
) -> None:
    cut = stage.proxy.cut(name, point, times=ATTEMPTS)
    more = until_made(stage, cut, in_turn=name in GUARDING)
    # What went back to the queue is a new entry. Progress is written by two threads, and either may meet the last cut.
    assert more in ({0, 1} if name == "progress" else {1} if name in GUARDING else {0})


def test_a_helper_whose_connection_is_cut_all_the_time_keeps_the_lease(tmp_path: Path) -> None:
    with wired(tmp_path) as stage:
        leases = stage.workers(2)
        cuts = [
            stage.proxy.cut("beat", Point.BEFORE, every=4, times=100),
            stage.proxy.cut("beat", Point.AFTER, first=1, every=3, times=100),
            stage.proxy.cut("beat", Point.HALF, first=2, every=3, times=100),
        ]
        sent = [stage.send("slow", f"n{n}", 3.0) for n in range(4)]  # longer than a lease
        stage.plant.wait_for_all(sent)
        assert [cut.name for cut in cuts if cut.done < 2] == []
        assert set(stage.beats()) == leases
        assert [stage.plant.effects()[f"n{n} begins"] for n in range(4)] == [1] * 4
        assert stage.zombies() == []


def test_what_a_dead_worker_held_comes_back_once_though_the_reaper_is_cut_at_every_point(tmp_path: Path) -> None:
    with wired(tmp_path) as stage:
        first = stage.worker(threads=3)
        # One stream for each priority, so that there is something to give back in three requests.
        sent = [stage.plant.send("slow", f"n{n}", 0.3, priority=n % 3 - 1) for n in range(15)]
        steps = [stage.plant.send("steps", f"s{n}", 20, priority=n % 3 - 1) for n in range(6)]
        wait_until(lambda: "n0 begins" in stage.plant.effects(), timeout=TIMEOUT)
        first.kill()
        at_death = stage.plant.effects()
        held = stage.pending()
        assert all(held)
        cuts = [
            stage.proxy.cut("reap", Point.BEFORE),
            stage.proxy.cut("reap", Point.AFTER),
            stage.proxy.cut("reap", Point.HALF, first=2),
            stage.proxy.cut("bury", Point.AFTER),
            stage.proxy.cut("started", Point.AFTER, every=2, times=2),
        ]
        # Keys are claimed for many messages at once, or one by one, as they are fetched.
        for name in ("claim", "claims"):
            stage.proxy.cut(name, Point.AFTER, every=2, times=2)
        second = stage.worker(threads=3)
        stage.plant.wait_for_all([*sent, *steps], timeout=TIMEOUT)
        wait_until(lambda: all(cut.done for cut in cuts), timeout=TIMEOUT, what="every cut is made")
        assert [one.result for one in [*sent, *steps] if not one.successful()] == []
        effects = stage.plant.effects()
        again = {name for name, times in effects.items() if times != 1}
        assert again <= set(at_death), "only what ran in the killed worker may run again"
        assert not [name for name in again if name.startswith("s")], "no item is repeated"
        assert all(effects[f"n{n}"] for n in range(15))
        assert stage.entries() == len(sent) + len(steps) + sum(held), "what it held came back once"
        assert "refused" not in second.said()
        assert second.said().count("is dead;") <= 1


@pytest.mark.chaos_long
@pytest.mark.parametrize("name", ["stage", "pump", "lrange"])
@pytest.mark.parametrize("point", POINTS)
def test_a_large_outcome_that_is_cut_while_it_is_put_aside_or_moved_exists_once(
    point: Point, name: str, stage: Wired
) -> None:
    before = stage.entries()
    cut = stage.proxy.cut(name, point, every=2, times=2)
    fan = f"{name}{point.name}"
    sent = stage.send("fan", fan, 1_200)
    children = [f"{fan}/{n}" for n in range(1_200)]
    wait_until(lambda: set(children) <= set(stage.plant.begun()), timeout=TIMEOUT, what="what it sent has run")
    wait_until(lambda: stage.plant.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing is left")
    assert sent.successful()
    assert cut.done == 2
    assert stage.entries() - before == 1_201
    begun = stage.plant.begun()
    assert [one for one in [fan, *children] if len(begun[one]) != 1] == []
    assert stage.zombies() == []


@pytest.mark.chaos_long
@pytest.mark.parametrize("chance", [0.1, 0.2, 0.3])
def test_everything_is_cut_by_chance_and_nothing_is_lost_or_repeated(chance: float, tmp_path: Path) -> None:
    # What a sender sends has tests of its own: here its sends return. What is cut in every attempt goes back, and two
    # workers share their stock: so entries are not counted, but effects are.
    names = [*EXCHANGES, "take-up", "reap", "bury", "subscribe", "revoked", "xinfo", "hgetall", "xgroup"]
    with wired(tmp_path) as stage:
        leases = stage.workers(2)
        for name in set(names) - {"send", "enqueue"}:
            stage.proxy.cut_by_chance(name, chance)
        stage.proxy.cut("beat", Point.BEFORE, every=4, times=1_000_000)
        stage.proxy.cut("beat", Point.AFTER, every=3, times=1_000_000)
        for _ in range(5):
            Load(stage, 10).check()
        assert set(stage.beats()) == leases
        assert [name for name in EXCHANGES[2:] if not stage.proxy.made(name)] == []
