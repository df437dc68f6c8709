"""The records of messages and the claims of idempotency keys, as Python sees them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import pytest
from freezegun.api import FrozenDateTimeFactory
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.understudy.storage.bench import Bench
from understudy import clock, serialization
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DecodeError, ServerUnavailable
from understudy.holds import Hold
from understudy.outcome import ClaimAction
from understudy.records import BELIEVED, Claim, Record, Records
from understudy.states import State
from understudy.storage.client import Storage, in_memory
from understudy.testing.faults import Faults


@pytest.fixture
def records(broker: SettlingBroker, freezer: FrozenDateTimeFactory) -> Records:
    return broker.records


@pytest.fixture
def bench(records: Records) -> Bench:
    return Bench(records.storage)


def test_an_unknown_id_reads_pending(records: Records) -> None:
    assert records.read("nobody") == Record(State.PENDING, {})
    assert not records.forget("nobody")


def test_what_is_settled_is_read_until_its_ttl_ends(
    records: Records, bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    bench.settle((bench.take(), [bench.state(State.SUCCESS, result=serialization.dumps([1]), retries=2)]))
    record = records.read("m")
    assert (record.state, record.value("result"), record.text("retries")) == ("SUCCESS", [1], "2")
    assert record.seconds("done_at") == clock.now()
    assert (record.text("nothing"), record.seconds("nothing"), record.value("nothing")) == (None, None, None)
    freezer.tick(60)
    assert records.read("m") == Record()


def test_what_is_forgotten_reads_pending(records: Records, bench: Bench) -> None:
    bench.settle((bench.take(), [bench.state(State.FAILURE)]))
    assert records.forget("m")
    assert records.read("m") == Record()


def test_a_state_of_a_newer_version_is_said_to_be_one(records: Records) -> None:
    records.storage.client.hset(records.storage.keys.state("m"), "state", "PAUSED")
    with pytest.raises(DecodeError, match=r"'PAUSED'.*update this process"):
        records.read("m")


def test_progress_is_refused_to_who_does_not_hold_the_message(records: Records, bench: Bench) -> None:
    hold, gone = bench.take(), Hold(bench.stream, "1-1", "q/2/1-1")
    assert records.progress("m", hold, info=b'{"current":1}', actor="a")
    assert not records.progress("m", gone, info=b'{"current":2}', actor="a")
    record = records.read("m")
    assert (record.state, record.value("info")) == ("PROGRESS", {"current": 1})
    assert (record.text("actor"), record.text("queue"), record.text("by")) == ("a", "q", hold.token)


def test_items_are_closed_opened_and_looked_up(records: Records, bench: Bench) -> None:
    hold = bench.take()
    fresh, intent = ("open", ""), f"?{hold.token}"
    assert records.items("m", hold, close={}, opens=["ada", "bob"], on_doubt="skip") == [fresh, fresh]
    assert records.items("m", hold, close={"ada": "1"}, opens=["cid"], on_doubt="skip") == [fresh]
    assert records.items("m", hold, close={"cid": "!no"}, opens=["ada"], on_doubt="skip") == [("closed", "1")]
    assert records.items("m", hold, close={}, opens=[], on_doubt="skip") == []
    assert records.marks("m", ["ada", "bob", "eve"]) == ["1", intent, ""]
    gone = Hold(bench.stream, "1-1", "q/2/1-1")
    assert records.items("m", gone, close={"bob": "1"}, opens=[], on_doubt="skip") is None


def test_marks_are_found_by_how_they_and_their_items_begin(records: Records, bench: Bench) -> None:
    hold = bench.take()
    close = {"a:1": "!no", "a:2": "1", "a:3": "!why", "b:1": "!else", **{f"c:{n}": "!" for n in range(2_000)}}
    records.items("m", hold, close=close, opens=[], on_doubt="skip")
    assert records.marks_under("m", "a:", start="!", most=5) == {"1": "!no", "3": "!why"}
    assert len(records.marks_under("m", "c:", start="!", most=5_000)) == 2_000
    assert len(records.marks_under("m", "c:", start="!", most=7)) == 7
    assert records.marks_under("nobody", "", start="!", most=7) == {}


def test_the_queues_of_actors_are_announced(records: Records) -> None:
    records.announce({})
    assert records.announced_actors() == {}
    records.announce({"send": "email", "count": "default"})
    assert records.announced_actors() == {"send": "email", "count": "default"}
    assert [records.announced_queue(name) for name in ("send", "nobody")] == ["email", None]


def test_a_holder_in_another_queue_is_believed_for_an_hour(
    records: Records, bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    other = Bench(records.storage, "other")
    records.claim("k", bench.take(), message_id="a", streams=bench.queue.streams)
    twin = other.take()
    freezer.tick(BELIEVED - 0.001)
    assert records.claim("k", twin, message_id="b", streams=other.queue.streams) == Claim("busy", "a")
    freezer.tick(0.001)
    assert records.claim("k", twin, message_id="b", streams=other.queue.streams) == Claim("takeover", "a")


def test_a_claim_that_took_effect_although_nobody_heard_of_it_is_the_own_one(
    records: Records, bench: Bench, faults: Faults
) -> None:
    hold = bench.take()
    faults.fail("claim", when="after")
    with pytest.raises(ServerUnavailable):
        records.claim("k", hold, message_id="a", streams=bench.queue.streams)
    assert records.claim("k", hold, message_id="a", streams=bench.queue.streams) == Claim("run")


# -- claims ----------------------------------------------------------------------------------------------------

TTL = 60.0


@dataclass
class Model:
    """What a claim must be, in a few lines of Python."""

    status: str = ""
    owner: str = ""
    holder: Hold | None = None
    until: float = 0.0
    after: str = ""
    result: bytes = b""

    def claim(self, message: str, hold: Hold, held: set[Hold], now: float) -> Claim:
        if self.status == "done" and self.until > now:
            return Claim("done", self.owner, result=self.result)
        if self.status == "running" and self.holder != hold:
            if self.holder in held:
                return Claim("busy", self.owner)
            self.after = self.owner
        if self.status == "kept" and self.owner != message and self.until > now:
            return Claim("busy", self.owner, wait=self.until - now)
        if self.status in ("", "done"):
            self.after = ""
        self.status, self.owner, self.holder = "running", message, hold
        return Claim("takeover", self.after) if self.after else Claim("run")

    def settle(self, hold: Hold, action: ClaimAction, result: bytes, held: set[Hold], now: float) -> str:
        if hold not in held:
            return "l"
        if not self.status:
            return "c"  # a claim that is nobody's is not written
        if self.holder != hold:
            return "u"
        self.until = now + TTL
        if action != "undo":
            self.after = ""
        self.status = {"complete": "done", "keep": "kept", "undo": "kept", "release": ""}[action]
        if action == "release":
            self.holder = None
        self.result = result if action == "complete" else b""
        return "c"


class Claims(RuleBasedStateMachine):
    """Deliveries of three messages with one idempotency key claim, settle and die as they like, and time passes."""

    def __init__(self) -> None:
        super().__init__()
        # Of this machine's own, as all that is drawn from: the same choices must lead to the same names.
        self.numbers = count()
        self.storage = Storage(in_memory(), namespace="claims")
        self.bench = Bench(self.storage)
        self.records = Records(self.storage)
        self.model = Model()
        self.now = 1_000_000.0
        #: The message and the worker of every delivery that there ever was; those that are held; that run the body.
        self.deliveries: dict[Hold, tuple[str, str]] = {}
        self.held: set[Hold] = set()
        self.running: set[Hold] = set()
        self.tick(0)

    def teardown(self) -> None:
        self.storage.close()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.storage.client.set(self.storage.keys.clock, round(self.now * 1000))

    def one(self, data: st.DataObject, among: set[Hold]) -> Hold:
        # In the order of delivery: a token holds the time of its entry, and as text 10 stands before 9.
        return data.draw(st.sampled_from([hold for hold in self.deliveries if hold in among]))

    def worker(self) -> str:
        return f"w{next(self.numbers):04}"

    def deliver(self, message: str, hold: Hold, worker: str) -> None:
        self.deliveries[hold] = (message, worker)
        self.held.add(hold)

    @rule(seconds=st.sampled_from([0.5, 30, 59.5, 60, 7200]))
    def time_passes(self, seconds: float) -> None:
        self.tick(seconds)

    @rule(message=st.sampled_from("abc"), level=st.sampled_from([0, 1, 2]))
    def a_message_is_delivered(self, message: str, level: int) -> None:
        worker = self.worker()
        self.deliver(message, self.bench.take(worker, message, self.bench.queue.streams[level]), worker)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), again=st.booleans())
    def claim(self, data: st.DataObject, again: bool) -> None:
        hold = self.one(data, self.held)
        message, _ = self.deliveries[hold]
        for _ in range(1 + again):
            expected = self.model.claim(message, hold, self.held, self.now)
            reply = self.records.claim("k", hold, message_id=message, streams=self.bench.queue.streams)
            assert (reply.verdict, reply.owner, reply.result) == (expected.verdict, expected.owner, expected.result)
            assert reply.wait == (None if expected.wait is None else pytest.approx(expected.wait, abs=0.001))
        if reply.verdict in ("run", "takeover"):
            self.running.add(hold)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def its_process_dies(self, data: st.DataObject) -> None:
        hold = self.one(data, self.held)
        message, worker = self.deliveries[hold]
        self.held.discard(hold)
        self.running.discard(hold)
        names = [self.storage.keys.leases, self.storage.keys.started(worker), hold.stream]
        assert self.storage.run("reap", names, [worker, "", 100, "workers", 3, 100]) == [b"reaped", 1]
        new = self.worker()
        self.deliver(message, self.bench.taken(new, hold.stream), new)

    @precondition(lambda self: self.deliveries)
    @rule(data=st.data(), action=st.sampled_from(["complete", "keep", "undo", "release"]))
    def settle(self, data: st.DataObject, action: ClaimAction) -> None:
        """Also of zombies. The bench sends it twice."""
        hold = self.one(data, self.running or set(self.deliveries))
        result = hold.token.encode()
        expected = self.model.settle(hold, action, result, self.held, self.now)
        ops = [
            self.bench.marks(hold, {hold.token: "1"}, scope="key:k"),
            self.bench.claimed(hold, action, result=result),
        ]
        assert self.bench.settle((hold, ops)) == expected
        if expected == "c":
            self.held.discard(hold)
            self.running.discard(hold)

    @invariant()
    def at_most_one_live_holder_runs_the_body(self) -> None:
        assert len(self.running) <= 1


Claims.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestClaims = Claims.TestCase
