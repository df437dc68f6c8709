"""Leaving the line of a rate: what settle, revoke and wake write, take back, and cost. What follows for messages stands
in ``tests/middleware/test_lines.py``, any order of events in ``tests/understudy/test_moving_up.py``."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from tests.chaos.weighing import Weighing
from tests.depth import on_the_server_first
from understudy.brokers.operations import Operations
from understudy.errors import ServerUnavailable
from understudy.holds import GROUP, Hold
from understudy.revocations import Revocations
from understudy.states import State
from understudy.turns import IN_LINE, Limit, Turn, Turns

from .bench import Bench, Ops
from .dumps import dump
from .test_failing_calls import NOW, benches, each_failing_call
from .test_giving_turns import Twice, ask, asked_plainly, lines, promoted, turn, waiting

RATE = Limit("rate:key:k", "bucket", 1, 10_000)
WINDOW = Limit("rate:key:k", "window", 1, 10_000)
#: Seconds.
LONGEST = 0.05


def act(bench: Bench, one: Turn, action: Any, limit: Limit = RATE) -> Ops:
    return lambda operations: operations.turn(bench.keys, one, limit, lines(bench), action=action)


def later(bench: Bench, one: Turn, message: str, limit: Limit = RATE) -> Ops:
    payload = Message("q", "a", (), {}, {IN_LINE: limit.name}, message_id=message).encode()
    return lambda operations: operations.later(
        bench.queue, bench.keys.wake, message, payload, delay=one.wait, level=2, due=one.due
    )


def in_line(bench: Bench, message: str, limit: Limit = RATE) -> Turn:
    """It is told its turn, and goes back."""
    hold, one = asked_plainly(bench, message, limit)
    assert one.word == "rate"
    assert bench.settle((hold, [act(bench, one, "wait", limit), later(bench, one, message, limit)])) == "c"
    return one


def expected(bench: Bench) -> dict[str, int]:
    """In how many ms whose delayed copies come."""
    found = bench.client.zrange(bench.queue.delayed, 0, -1, withscores=True)
    return {copy.decode().partition("|")[0]: round(due - NOW) for copy, due in found}


@pytest.fixture
def plain(bench: Bench) -> Bench:
    """A bench whose clock stands."""
    return next(benches(bench))


@pytest.mark.parametrize("limit", [RATE, WINDOW])
def test_a_turn_that_was_not_used_is_that_of_the_next_one_at_once(plain: Bench, limit: Limit) -> None:
    hold, first = asked_plainly(plain, "a", limit)
    in_line(plain, "b", limit)
    in_line(plain, "c", limit)
    assert plain.settle((hold, [plain.state(State.SUCCESS, "a"), act(plain, first, "quit", limit)])) == "c"
    assert expected(plain) == {"b": 0, "c": 20_000}, "the next one is called when the first has begun"
    promoted(plain)
    again = turn(plain, plain.taken(), "b", limit, order=first.order + 1)
    assert ask(plain, again) == ["run"]
    # Who comes from the line may have been on his way for as long as the slack.
    assert expected(plain) == {"c": 9_900 if limit is WINDOW else 10_000}


@pytest.mark.parametrize("limit", [RATE, WINDOW])
def test_an_answer_that_never_came_costs_no_turn(plain: Bench, limit: Limit) -> None:
    hold, first = asked_plainly(plain, "a", limit)
    in_line(plain, "b", limit)
    first.number -= 1  # it does not know
    first.word = None
    assert plain.settle((hold, [plain.state(State.SUCCESS, "a"), act(plain, first, "quit", limit)])) == "c"
    assert expected(plain) == {"b": 0}


def test_a_turn_that_was_used_is_not_given_back_by_another_delivery(plain: Bench) -> None:
    asked_plainly(plain, "a", RATE)
    hold = plain.take("b")
    other = turn(plain, hold, "b", RATE)
    assert plain.settle((hold, [plain.state(State.SUCCESS, "b"), act(plain, other, "quit")])) == "c"
    assert asked_plainly(plain, "c", RATE)[1].word == "rate"


def test_one_on_its_way_into_line_is_called_forward_when_it_gets_there(plain: Bench) -> None:
    asked_plainly(plain, "a", RATE)
    quits, second = asked_plainly(plain, "b", RATE)
    slow, third = asked_plainly(plain, "c", RATE)
    assert (second.wait, third.wait) == (10, 20)
    plain.settle((quits, [plain.state(State.SUCCESS, "b"), act(plain, second, "quit")]))
    plain.settle((slow, [act(plain, third, "wait"), later(plain, third, "c")]))
    assert expected(plain) == {"c": 10_000}


def test_one_that_is_not_waited_for_any_more_comes_at_once(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    asked_plainly(bench, "a", RATE)
    slow, second = asked_plainly(bench, "b", RATE)
    freezer.tick(11.001)
    asked_plainly(bench, "c", RATE)
    assert b"q/b" not in waiting(bench, RATE)
    bench.settle((slow, [act(bench, second, "wait"), later(bench, second, "b")]))
    assert len(promoted(bench)) == 1


def test_a_copy_that_waits_for_another_time_is_not_called_forward(plain: Bench) -> None:
    hold, first = asked_plainly(plain, "a", RATE)
    in_line(plain, "b")
    plain.enqueue(plain.later(b"tomorrow", delay=86_400, message="b"))
    plain.settle((hold, [plain.state(State.SUCCESS, "a"), act(plain, first, "quit")]))
    found = plain.client.zrange(plain.queue.delayed, 0, -1, withscores=True)
    assert [round(due - NOW) for _, due in found] == [0, 86_400_000]


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_one_who_does_not_come_is_waited_for_a_second_by_whoever_looks(
    bench: Bench, freezer: FrozenDateTimeFactory, kind: Any
) -> None:
    limit = Limit(RATE.name, kind, 1, 10_000)
    asked_plainly(bench, "a", limit)
    in_line(bench, "lost", limit)
    in_line(bench, "b", limit)
    bench.client.zrem(bench.queue.delayed, *bench.client.zrange(bench.queue.delayed, 0, 0))
    freezer.tick(10.9)
    turns = Turns(Twice(bench))
    assert turns.wake(limit.name, lines(bench)) == -1
    assert promoted(bench) == []
    freezer.tick(0.2)
    assert turns.wake(limit.name, lines(bench)) == -1
    assert waiting(bench, limit) == [b"q/b"]
    assert len(promoted(bench)) == 1


def test_who_is_revoked_leaves_the_line_in_the_same_step(plain: Bench) -> None:
    plain.client.sadd(plain.keys.queues, "q")
    asked_plainly(plain, "a", RATE)
    for name in "bcd":
        in_line(plain, name)
    revocations = Revocations(plain.storage)
    assert revocations.revoke("b", terminate=False, result_ttl=60) is State.REVOKED
    assert waiting(plain, RATE) == [b"q/c", b"q/d"]
    assert expected(plain) == {"c": 10_000, "d": 30_000}, "the next one when the first has begun"


def test_a_key_that_holds_something_else_is_told_and_nothing_is_done(plain: Bench) -> None:
    plain.client.sadd(plain.keys.queues, "q")
    asked_plainly(plain, "a", RATE)
    in_line(plain, "b")
    hold, third = asked_plainly(plain, "c", RATE)
    plain.spoil(plain.keys.limit(RATE.name)[2])
    before = dump(plain.storage)
    with pytest.raises(ServerUnavailable, match="holds something else"):
        Revocations(plain.storage).revoke("b", terminate=False, result_ttl=60)
    assert dump(plain.storage) == before
    assert plain.settle((hold, [plain.state(State.SUCCESS, "c"), act(plain, third, "quit")])) == "e"


def test_of_an_outcome_that_is_refused_the_line_is_left_all_the_same(plain: Bench) -> None:
    asked_plainly(plain, "a", RATE)
    hold, second = asked_plainly(plain, "b", RATE)
    plain.client.hset(plain.keys.state("b"), mapping={"state": "SUCCESS", "expires_at": 2e12})
    write = [plain.state(State.RETRY, "b"), act(plain, second, "wait"), later(plain, second, "b")]
    assert plain.settle((hold, write)) == "f"
    assert waiting(plain, RATE) == []


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("limit", [RATE, WINDOW])
def test_whichever_call_fails_the_line_is_left_or_nothing_is_done(bench: Bench, limit: Limit) -> None:
    def prepared(one: Bench) -> tuple[Hold, list[Ops]]:
        hold, first = asked_plainly(one, "a", limit)
        in_line(one, "b", limit)
        return hold, [one.state(State.SUCCESS, "a"), act(one, first, "quit", limit), one.add(b"next")]

    seen: list[str] = []
    for one, what, verdict, before, after in each_failing_call(bench, prepared):
        seen.append(what)
        assert verdict in ("cec", "ccc"), what
        if verdict == "cec":
            assert after == before, what
        else:
            assert "q/b" in str(waiting(one, limit)), what
    assert {"call ZREM", "call ZSCORE", "call HMGET"} <= set(seen)


LONG_LINE = """for i = ARGV[1], ARGV[1] + 9999 do
  local id = string.format('m%07d', i)
  local copy, at = id .. '|0123456789abcdef', string.format('%.0f', ARGV[2] + i)
  redis.call('ZADD', KEYS[1], i, 'q/' .. id)
  redis.call('ZADD', KEYS[2], at, 'q/' .. id)
  redis.call('ZADD', KEYS[3], at, copy)
  redis.call('HSET', KEYS[4], copy, ARGV[3])
  redis.call('HSET', KEYS[5], id, copy)
end"""


@pytest.mark.brokers("server")
def test_a_line_of_100_000_holds_up_the_server_for_no_moment(bench: Bench) -> None:
    limit = Limit(RATE.name, "window", 1_000, 600_000)
    storage: Any = Weighing(bench.client, namespace=bench.keys.namespace)
    storage.weigh()
    bench.client.sadd(bench.keys.queues, "q")
    Turns(storage).ask([turn(bench, bench.take(), "first", limit)], lines(bench))
    _, _, line, due = bench.keys.limit(limit.name)
    names = [line, due, bench.queue.delayed, bench.queue.payloads, bench.queue.ids]
    now = int(bench.client.time()[0]) * 1000 + 3_000_000
    payload = b"2:" + Message("q", "a", (), {}, {IN_LINE: limit.name}).encode()
    for start in range(0, 100_000, 10_000):
        bench.client.eval(LONG_LINE, len(names), *names, start, now, payload)
    # What that has left to collect is the test's, and would be counted to whatever script the server collects it in.
    bench.client.eval("collectgarbage() collectgarbage()", 0)
    holds = [bench.take() for _ in range(128)]
    turns = [turn(bench, hold, f"n{n}", limit, order=2e12) for n, hold in enumerate(holds)]
    Turns(storage).ask(turns, lines(bench))
    assert {one.word for one in turns} == {"rate"}
    operations = Operations(bench.keys.clock, bench.keys.batch("w1"))
    for number, (hold, one) in enumerate(zip(holds, turns, strict=True)):
        operations.args += (operations.number(hold.stream), hold.entry, 2)
        bench.state(State.SUCCESS, f"n{number}")(operations)
        act(bench, one, "quit", limit)(operations)
    assert storage.run("settle", operations.keys, [1, GROUP, 128, *operations.args]) == b"c" * 128
    for number in range(5):
        revoked = Revocations(storage).revoke(f"m{number:07d}", terminate=False, result_ttl=60)
        assert revoked is State.REVOKED
        Turns(storage).wake(limit.name, lines(bench))
    first = [turn(bench, bench.take(), f"m{number:07d}", limit, order=number) for number in range(5, 25)]
    Turns(storage).ask(first, lines(bench))
    assert bench.client.zcard(line) == 100_000 - 5 - sum(one.word == "run" for one in first)
    heavy = {name: seconds for name, seconds in storage.heaviest.items() if seconds > LONGEST}
    assert not heavy, storage.heaviest
    assert set(storage.heaviest) == {"turns", "settle", "wake", "revoke"}
