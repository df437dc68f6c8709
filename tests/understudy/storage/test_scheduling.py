"""The scripts of the schedulers: who leads, which jobs there are, which ticks are over, what people want."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.brokers.operations import Operations
from understudy.errors import ServerUnavailable
from understudy.storage.client import Storage
from understudy.uniqueness import Lock

from .bench import Bench
from .dumps import dump
from .injected import Injected

NOW = 1_772_366_400_000


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench)


class Desk:
    """The calls of the scripts, each made twice (``Bench.run``), with the clock in hand."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.keys, self.client = bench, bench.keys, bench.client
        self.at(0)

    def at(self, millis: int) -> None:
        self.client.set(self.keys.clock, NOW + millis)

    def lead(self, name: str = "a", ttl: int = 3_000) -> list[Any]:
        reply: list[Any] = self.bench.run("lead", [self.keys.clock, self.keys.leader], [name, ttl, "host 1"])
        return reply

    def resign(self, name: str = "a", term: int = 1) -> Any:
        return self.bench.run("resign", [self.keys.leader], [name, term, self.keys.scheduling], resent=0)

    def register(self, *jobs: str, vanished: tuple[str, ...] = (), term: int = 1, schedule: str = "every") -> Any:
        keys = self.keys
        names = [keys.clock, keys.leader, keys.schedules, keys.paused, keys.requests, *map(keys.job, jobs)]
        for name in vanished:
            names += (keys.job(name), keys.runs(name))
        parts = [part for name in jobs for part in (name, schedule, "{}")]
        return self.bench.run("register", names, ["a", term, 60_000, len(jobs), *parts, *vanished])

    def operations(self, *, unique: bool = False, id: str = "m1", payload: bytes = b"tick") -> Operations:
        keys = self.keys
        found = Operations(keys.clock, keys.leader, keys.job("j"), keys.runs("j"), keys.paused, keys.requests)
        if unique:
            found.unique(keys, Lock("u", "done", 600), id, delay=0)
        found.add(self.bench.stream, payload)
        return found

    def args(self, fire: int, operations: Operations | None, id: str, term: int, asked: str) -> list[Any]:
        count = 0 if operations is None else sum(word in ("add", "unique") for word in operations.args)
        own = ["a", term, NOW + fire, id, "j", asked, 3, f'{{"fire": {fire}}}', count]
        return own + ([] if operations is None else list(operations.args))

    def tick(
        self,
        fire: int,
        *,
        id: str = "m1",
        term: int = 1,
        asked: str = "",
        unique: bool = False,
        resent: Any = None,
    ) -> Any:
        operations = self.operations(unique=unique, id=id) if id else None
        names = (operations or self.operations()).keys
        return self.bench.run("tick", names, self.args(fire, operations, id, term, asked), resent=resent)

    def order(self, verb: str, name: str = "j", token: str = "t", resent: Any = b"done") -> Any:
        keys = self.keys
        names = [keys.clock, keys.schedules, keys.paused, keys.requests, keys.audit, keys.job(name)]
        return self.bench.run("order", names, [verb, name, "ada", token, 2, keys.scheduling], resent=resent)

    def job(self) -> dict[bytes, bytes]:
        return self.bench.hash(self.keys.job("j"))

    def runs(self) -> list[bytes]:
        return list(self.client.lrange(self.keys.runs("j"), 0, -1))


def before(after: int) -> list[bytes]:
    return [b"before", str(NOW + after).encode()]


def test_whoever_asks_first_leads_and_a_resend_renews(desk: Desk) -> None:
    assert desk.lead() == [1, b"a", 3_000, NOW]
    desk.at(1_000)
    assert desk.lead("b") == [0, b"a", 2_000, NOW + 1_000]
    assert desk.lead() == [1, b"a", 3_000, NOW + 1_000]
    desk.at(4_000)
    assert desk.lead("b") == [2, b"b", 3_000, NOW + 4_000]
    assert desk.bench.hash(desk.keys.leader)[b"where"] == b"host 1"


def test_terms_only_grow_also_over_resignations(desk: Desk) -> None:
    desk.lead()
    assert desk.resign("b") == 0
    assert desk.resign() == 1
    assert desk.lead("b")[:2] == [2, b"b"]
    assert desk.resign("a") == 0


def test_a_clock_that_is_put_back_shortens_the_lease_to_its_length(desk: Desk) -> None:
    desk.lead()
    desk.at(-60_000)
    assert desk.lead("b") == [0, b"a", 3_000, NOW - 60_000]


def test_jobs_are_registered_once_and_keep_where_they_have_come_to(desk: Desk) -> None:
    desk.lead()
    assert desk.register("j", "k") == [NOW, [], [], [NOW, NOW], [NOW, NOW]]
    desk.at(5_000)
    assert desk.tick(4_000, resent=before(4_000)) == [b"sent", NOW + 5_000, b""]
    assert desk.register("j", "k") == [NOW + 5_000, [], [], [NOW, NOW + 4_000], [NOW, NOW]]


def test_a_changed_schedule_begins_anew_and_takes_nothing_back(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.at(5_000)
    assert desk.register("j", schedule="other")[3] == [NOW + 5_000, NOW + 5_000]
    desk.at(1_000)  # the clock was put back
    assert desk.register("j", schedule="third")[3] == [NOW + 1_000, NOW + 5_000]


def test_a_job_that_vanished_leaves_its_history_for_a_while(desk: Desk) -> None:
    desk.lead()
    desk.register("j", "k")
    desk.at(1_000)
    desk.tick(1_000, resent=before(1_000))
    desk.register("k", vanished=("j",))
    assert desk.job() == {}
    assert list(desk.bench.hash(desk.keys.schedules)) == [b"k"]
    assert len(desk.runs()) == 1
    assert desk.client.pttl(desk.keys.runs("j")) > 0
    assert desk.tick(2_000) == [b"unknown"]


def test_what_an_older_term_wants_is_refused(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.at(4_000)
    desk.lead("b")
    assert desk.register("j", term=1) == [b"deposed"]
    assert desk.tick(1_000, term=1) == [b"deposed", b"2"]
    assert desk.bench.waiting() == []


def test_a_tick_is_one_message_and_is_over_after_it(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.at(1_500)
    assert desk.tick(1_000, resent=before(1_000)) == [b"sent", NOW + 1_500, b""]
    assert desk.bench.waiting() == [b"tick"]
    assert desk.runs() == [str(NOW + 1_500).encode() + b' sent 0 {"fire": 1000}']
    assert desk.tick(1_000, id="another") == [b"passed", str(NOW + 1_000).encode()]
    assert desk.tick(500, id="older") == [b"passed", str(NOW + 1_000).encode()]
    assert desk.bench.waiting() == [b"tick"]


def test_a_tick_whose_time_has_not_come_or_whose_job_is_paused_waits(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    assert desk.tick(1) == [b"early", NOW]
    desk.at(10)
    desk.order("pause")
    assert desk.tick(1) == [b"paused"]
    assert desk.job()[b"after"] == str(NOW).encode()


def test_ticks_that_are_given_up_are_over_and_are_no_message(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.at(9_000)
    assert desk.tick(8_000, id="", resent=[b"passed", str(NOW + 8_000).encode()]) == [b"missed", NOW + 9_000, b""]
    assert desk.bench.waiting() == []
    assert desk.job()[b"after"] == str(NOW + 8_000).encode()


def test_a_tick_is_left_out_while_another_message_stands(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.at(1_000)
    desk.tick(1_000, unique=True, resent=before(1_000))
    desk.at(2_000)
    passed = [b"passed", str(NOW + 2_000).encode()]
    assert desk.tick(2_000, id="m2", unique=True, resent=passed) == [b"overlap", NOW + 2_000, b"m1"]
    assert desk.bench.waiting() == [b"tick"]
    assert desk.runs()[0] == str(NOW + 2_000).encode() + b' overlap 2 m1{"fire": 2000}'


def test_history_is_bounded(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    for second in range(1, 6):
        desk.at(second * 1_000)
        desk.tick(second * 1_000, id=f"m{second}", resent=before(second * 1_000))
    assert len(desk.runs()) == 3


def test_a_request_is_served_once_and_moves_no_tick(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.order("run-now", token="r1")
    assert desk.register("j")[2] == [b"r1", f"{NOW} j".encode()]
    desk.at(100)
    assert desk.tick(0, id="j@r1", asked="r1", resent=before(0)) == [b"sent", NOW + 100, b""]
    assert desk.tick(0, id="other", asked="r1") == [b"passed", str(NOW).encode()]
    assert desk.order("run-now", token="r1") == b"done"  # a late copy of the request asks for nothing
    assert desk.register("j")[2] == []
    assert desk.job()[b"after"] == str(NOW).encode()


def test_what_people_want_is_written_down_and_a_resend_wants_nothing_more(desk: Desk) -> None:
    desk.lead()
    assert desk.order("pause", resent=b"unknown") == b"unknown"
    desk.register("j")
    assert desk.order("resume", token="t0", resent=b"already") == b"already"
    assert desk.order("pause", token="t1") == b"done"
    assert desk.order("pause", token="t2", resent=b"already") == b"already"
    assert desk.register("j")[1] == [b"j", f"{NOW} ada".encode()]
    desk.at(7_000)
    assert desk.order("resume", token="t3") == b"done"
    assert desk.job()[b"after"] == str(NOW + 7_000).encode()
    desk.order("run-now", token="t4")
    audit = desk.client.lrange(desk.keys.audit, 0, -1)
    assert audit == [f"t4 run-now 1 j{NOW + 7_000} ada".encode(), f"t3 resume 1 j{NOW + 7_000} ada".encode()]


def test_a_pause_outlasts_the_job_and_can_be_taken_back_without_it(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.order("pause", token="t1")
    desk.register(vanished=("j",))
    desk.register("j")
    desk.at(1_000)
    assert desk.tick(500) == [b"paused"]
    desk.register(vanished=("j",))
    assert desk.order("resume", token="t2") == b"done"


def test_a_spoilt_key_is_told_and_nothing_is_done(desk: Desk) -> None:
    desk.lead()
    desk.register("j")
    desk.at(1_000)
    for key in (desk.bench.stream, desk.keys.runs("j")):
        desk.bench.spoil(key)
        untouched = dump(desk.bench.storage)
        with pytest.raises(ServerUnavailable, match="nothing was done"):
            desk.tick(1_000)
        assert dump(desk.bench.storage) == untouched
        desk.client.delete(key)


def test_whichever_call_fails_the_tick_is_over_and_a_message_or_neither(bench: Bench) -> None:
    failed = []
    for nth in range(1, 200):
        one = Bench(Storage(bench.storage.client, namespace=f"{bench.keys.namespace}:{nth}"))
        desk = Desk(one)
        desk.lead()
        desk.register("j")
        desk.at(1_000)
        untouched = dump(one.storage)
        injected = Injected(one.storage, "tick", nth=nth)
        operations = desk.operations(unique=True)
        try:
            reply = one.storage.run("tick", operations.keys, desk.args(1_000, operations, "m1", 1, ""))
        except ServerUnavailable:
            reply = None
        what = injected.failed()
        if not what:
            break
        failed.append(what)
        if reply is None:
            assert dump(one.storage) == untouched, what
        else:
            assert what.startswith("pcall"), what
            assert (one.waiting(), desk.job()[b"after"]) == ([b"tick"], str(NOW + 1_000).encode())
    assert {"call XADD", "call LPUSH", "call HSET", "call HMGET"} <= set(failed)
