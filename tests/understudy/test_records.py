"""The records of messages and the claims of idempotency keys, as Python sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from freezegun.api import FrozenDateTimeFactory
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from understudy import clock, serialization
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DecodeError, ServerUnavailable
from understudy.outcome import ClaimAction, Outcome
from understudy.records import Claim, Record, Records
from understudy.states import State
from understudy.storage.client import Storage, in_memory
from understudy.testing.faults import Faults


@pytest.fixture
def records(broker: SettlingBroker, freezer: FrozenDateTimeFactory) -> Records:
    return broker.records


def begin(records: Records, token: str, message: str = "m") -> str:
    return records.begin(message, token=token, actor="a", queue="q", worker="w", track=True).verdict


def settle(records: Records, outcome: Outcome, token: str = "t", *, begun: bool = True, ttl: float = 60) -> str:
    return records.settle("m", outcome, token=token, begun=begun, scope="m", claim="k", ttl=ttl)


def test_an_unknown_id_reads_pending(records: Records) -> None:
    assert records.read("nobody") == Record(State.PENDING, {})
    assert not records.forget("nobody")


def test_what_is_settled_is_read_until_its_ttl_ends(records: Records, freezer: FrozenDateTimeFactory) -> None:
    begin(records, "t")
    done = Outcome(state=State.SUCCESS, fields={"result": serialization.dumps([1]), "retries": 2})
    assert settle(records, done) == "committed"
    record = records.read("m")
    assert (record.state, record.value("result"), record.text("retries")) == ("SUCCESS", [1], "2")
    assert record.seconds("done_at") == clock.now()
    assert (record.text("nothing"), record.seconds("nothing"), record.value("nothing")) == (None, None, None)
    freezer.tick(60)
    assert records.read("m") == Record()


def test_a_state_of_a_newer_version_is_said_to_be_one(records: Records) -> None:
    records.storage.client.hset(records.storage.keys.state("m"), "state", "PAUSED")
    with pytest.raises(DecodeError, match=r"'PAUSED'.*update this process"):
        records.read("m")


def test_an_outcome_counts_once_however_often_it_is_sent(records: Records) -> None:
    begin(records, "t")
    outcome = Outcome(state=State.RETRY, marks={"ada": "1"})
    assert [settle(records, outcome) for _ in range(3)] == ["committed", "again", "again"]


def test_a_commit_that_took_effect_although_nobody_heard_of_it_is_not_repeated(
    records: Records, faults: Faults
) -> None:
    begin(records, "t")
    faults.fail("settle", when="after")
    with pytest.raises(ServerUnavailable):
        settle(records, Outcome(state=State.SUCCESS))
    assert settle(records, Outcome(state=State.SUCCESS)) == "again"


def test_progress_is_refused_to_who_does_not_hold_the_message(records: Records) -> None:
    begin(records, "t")
    assert records.progress("m", token="t", info=b'{"current":1}')
    assert not records.progress("m", token="other", info=b'{"current":2}')
    assert (records.read("m").state, records.read("m").value("info")) == ("PROGRESS", {"current": 1})


def test_a_later_delivery_learns_the_progress_of_the_one_before(records: Records) -> None:
    begin(records, "t1")
    records.progress("m", token="t1", info=b"5")
    begun = records.begin("m", token="t2", actor="a", queue="q", worker="w", track=False)
    assert (begun.held, begun.info) == (True, b"5")


def test_a_finished_message_is_not_held(records: Records) -> None:
    begin(records, "t")
    settle(records, Outcome(state=State.REVOKED))
    begun = records.begin("m", token="t2", actor="a", queue="q", worker="w", track=True)
    assert (begun.held, begun.verdict, begun.state) == (False, "finished", State.REVOKED)


def test_items_are_looked_up_and_counted(records: Records) -> None:
    begin(records, "t")
    for close, opens in (("", "ada"), ("ada", "bob")):
        assert records.item("m", "m", token="t", close=close, mark="1", opens=opens, on_doubt="skip") == ("open", "")
    assert records.item("m", "m", token="t", close="", mark="1", opens="ada", on_doubt="skip") == ("closed", "1")
    assert records.marks("m", ["ada", "bob", "eve"]) == ["1", "?t", ""]


def test_the_queues_of_actors_are_announced(records: Records) -> None:
    records.announce({})
    assert records.announced_actors() == {}
    records.announce({"send": "email", "count": "default"})
    assert records.announced_actors() == {"send": "email", "count": "default"}
    assert [records.announced_queue(name) for name in ("send", "nobody")] == ["email", None]


# -- claims ----------------------------------------------------------------------------------------------------

LEASE, TTL = 5.0, 60.0
STORAGE = Storage(in_memory(), namespace="claims")
NUMBERS = count()


@dataclass
class Model:
    """What a claim must be, in a few lines of Python."""

    status: str = ""
    owner: str = ""
    token: str = ""
    until: float = 0.0
    entered: bool = False
    after: str = ""
    result: bytes = b""
    #: Message -> the token that holds it; and until when it is finished.
    holders: dict[str, str] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)

    def claim(self, message: str, token: str, now: float) -> Claim:
        live = self.until > now
        if self.status == "done" and live:
            return Claim("done", self.owner, result=self.result)
        other = self.owner != message
        if live and ((self.status == "running" and (self.entered or other)) or (self.status == "kept" and other)):
            return Claim("busy", self.owner, wait=self.until - now)
        if self.status == "running":
            self.after = self.owner if self.entered else self.after
        else:
            self.after = ""
        self.status, self.owner, self.token, self.until, self.entered = "running", message, token, now + LEASE, False
        return Claim("takeover", self.after) if self.after else Claim("run")

    def begin(self, message: str, token: str, now: float) -> str:
        if self.finished.get(message, 0) > now:
            return "finished"
        if self.status != "running" or self.token != token:
            return "unclaimed"
        self.holders[message] = token
        self.entered = True
        return "begun"

    def settle(self, message: str, token: str, action: ClaimAction, result: bytes, now: float) -> str:
        if self.holders.get(message) != token:
            return "lost"
        if self.status != "running" or self.token != token:
            return "unclaimed"
        del self.holders[message]
        if action == "complete":
            self.status, self.until, self.result = "done", now + TTL, result
        elif action == "keep":
            self.status, self.until = "kept", now + TTL
        else:
            self.status = ""
        if action != "keep":
            self.finished[message] = now + TTL
        return "committed"


class Claims(RuleBasedStateMachine):
    """Deliveries of three messages with one idempotency key claim, work, renew, die and settle as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.number = next(NUMBERS)
        self.now = 1_000_000.0
        self.model = Model()
        self.records = Records(STORAGE)
        self.key = f"k{self.number}"
        #: Token -> message, of deliveries that were let in and live; when the lease of each ends.
        self.claimed: dict[str, str] = {}
        self.bodies: dict[str, str] = {}
        self.leases: dict[str, float] = {}
        self.tick(0)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        STORAGE.client.set(STORAGE.keys.clock, int(self.now * 1000))

    @rule(seconds=st.sampled_from([0.5, 1, 4.5, 5, 30, 60]))
    def time_passes(self, seconds: float) -> None:
        self.tick(seconds)

    @rule(message=st.sampled_from("abc"), again=st.booleans())
    def deliver(self, message: str, again: bool) -> None:
        token = f"t{next(NUMBERS)}"
        name = f"{self.number}{message}"
        expected = self.model.claim(name, token, self.now)
        for _ in range(1 + again):
            reply = self.records.claim(self.key, token=token, message_id=name, lease=LEASE)
            assert (reply.verdict, reply.owner, reply.result) == (expected.verdict, expected.owner, expected.result)
            assert abs(reply.wait - expected.wait) < 0.001
        if reply.verdict in ("run", "takeover"):
            self.claimed[token] = name
            self.leases[token] = self.now + LEASE

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), again=st.booleans())
    def enter(self, data: st.DataObject, again: bool) -> None:
        token = data.draw(st.sampled_from(sorted(self.claimed)))
        message = self.claimed.pop(token)
        expected = self.model.begin(message, token, self.now)
        for _ in range(1 + again):
            reply = self.records.begin(
                message,
                token=token,
                actor="a",
                queue="q",
                worker="w",
                track=True,
                scope=f"key:{self.key}",
                claim=self.key,
            )
            assert reply.verdict == expected
        if expected == "begun":
            self.bodies[token] = message

    @precondition(lambda self: self.bodies)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.bodies)))
        holds = self.model.status == "running" and self.model.token == token
        assert self.records.renew(self.key, token=token, lease=LEASE) == holds
        if holds:
            self.model.until = self.leases[token] = self.now + LEASE

    @precondition(lambda self: self.bodies)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        del self.bodies[data.draw(st.sampled_from(sorted(self.bodies)))]

    @precondition(lambda self: self.bodies)
    @rule(data=st.data(), action=st.sampled_from(["complete", "keep", "release"]), again=st.booleans())
    def settle(self, data: st.DataObject, action: ClaimAction, again: bool) -> None:
        token = data.draw(st.sampled_from(sorted(self.bodies)))
        message = self.bodies.pop(token)
        state = {"complete": State.SUCCESS, "keep": State.RETRY, "release": State.FAILURE}[action]
        outcome = Outcome(state=state, claim=action, claim_ttl=TTL, claim_result=token.encode(), marks={token: "1"})
        expected = self.model.settle(message, token, action, token.encode(), self.now)
        for resent in range(1 + again):
            reply = self.records.settle(
                message, outcome, token=token, begun=True, scope=f"key:{self.key}", claim=self.key, ttl=TTL
            )
            assert reply == ("again" if resent and expected == "committed" else expected)

    @invariant()
    def at_most_one_live_holder_runs_the_body(self) -> None:
        assert sum(self.leases[token] > self.now for token in self.bodies) <= 1


Claims.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestClaims = Claims.TestCase


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    STORAGE.close()
