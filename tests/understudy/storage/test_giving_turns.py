"""turns, wake and the operation ``turn``: what they reply, write and take back. Any order of events stands in
``tests/understudy/test_turns.py``."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.depth import on_the_server_first
from understudy.errors import ServerUnavailable
from understudy.holds import GROUP, Hold
from understudy.states import State
from understudy.storage.client import Storage
from understudy.turns import BELIEVED, Limit, Turn, Turns, member

from .bench import Bench, Ops
from .dumps import dump
from .injected import Injected
from .test_failing_calls import benches, each_failing_call, settle

PLACES = Limit("places:key:k", "places", 1)
RATE = Limit("rate:key:k", "bucket", 2, 1_000)
WINDOW = Limit("rate:key:k", "window", 2, 1_000)


def lines(bench: Bench) -> dict[str, tuple[str, ...]]:
    queue = bench.queue
    return {queue.queue: (*queue.streams, queue.delayed, queue.ids)}


class Twice(Storage):
    """The storage of a bench, whose scripts are run by ``Bench.run``: twice, with a look at what they change."""

    def __init__(self, bench: Bench) -> None:
        self.__dict__.update(bench.storage.__dict__)
        self._bench = bench

    def run(self, name: str, keys: Any, args: Any = (), *, called: str | None = None) -> Any:
        return self._bench.run(name, list(keys), list(args))


_orders = count(1)


def turn(bench: Bench, hold: Hold, message: str, *limits: Limit, order: float = 0) -> Turn:
    return Turn(hold.token, member(bench.queue.queue, message), order or next(_orders), limits or (PLACES,))


def ask(bench: Bench, *turns: Turn) -> list[str | None]:
    Turns(Twice(bench)).ask(turns, lines(bench))
    return [one.word for one in turns]


def asked(bench: Bench, message: str, *limits: Limit) -> tuple[Hold, Turn]:
    """A delivery that has asked."""
    hold = bench.take(message)
    one = turn(bench, hold, message, *limits)
    ask(bench, one)
    return hold, one


def leave(bench: Bench, one: Turn, limit: Limit = PLACES) -> Ops:
    return lambda operations: operations.turn(bench.keys, one, limit, lines(bench), action="leave")


def join(bench: Bench, one: Turn, limit: Limit = PLACES) -> Ops:
    return lambda operations: operations.turn(bench.keys, one, limit, lines(bench), action="join")


def back(bench: Bench, hold: Hold, one: Turn, message: str, *, seconds: float = 300) -> str:
    """It goes back and waits for a place."""
    return bench.settle((hold, [join(bench, one), bench.later(message.encode(), delay=seconds, message=message)]))


def waiting(bench: Bench, limit: Limit = PLACES) -> list[bytes]:
    line: list[bytes] = bench.client.zrange(bench.keys.limit(limit.name)[2], 0, -1)
    return line


def promoted(bench: Bench) -> list[bytes]:
    """The payloads of what is due, which moves to the stream."""
    bench.storage.run("promote", [bench.keys.clock, *bench.queue.promoted], [100])
    return bench.waiting()


# -- places --------------------------------------------------------------------------------------------------


def test_who_holds_a_place_keeps_it_as_long_as_it_is_held(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    _, first = asked(bench, "a")
    assert first.word == "run"
    freezer.tick(10 * 86_400)
    _, second = asked(bench, "b")
    assert (second.word, second.wait) == ("places", 5)
    assert ask(bench, first) == ["run"], "it asks again, and has it"


def test_the_place_of_a_delivery_that_nobody_holds_any_more_is_free(bench: Bench) -> None:
    asked(bench, "a")
    hold = bench.take("b")
    late = turn(bench, hold, "b")
    assert ask(bench, late) == ["places"]
    bench.reap("a", resent=[b"reaped", 0])
    assert ask(bench, late) == ["run"]


def test_who_does_not_hold_its_message_any_more_gets_nothing(bench: Bench) -> None:
    hold = bench.take("a")
    bench.reap("a", resent=[b"reaped", 0])
    before = dump(bench.storage)
    zombie = turn(bench, hold, "a", PLACES, RATE)
    assert ask(bench, zombie) == ["lost"]
    assert dump(bench.storage) == before


def test_a_place_in_a_queue_that_is_not_known_here_is_believed_for_a_time(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    other = Bench(bench.storage, "other")
    _, first = asked(other, "a")
    assert first.word == "run"
    second = turn(bench, bench.take("b"), "b")
    freezer.tick(BELIEVED - 0.001)
    assert ask(bench, second) == ["places"]
    freezer.tick(0.001)
    assert ask(bench, second) == ["run"]


def test_who_leaves_wakes_the_first_in_line_and_nobody_else(bench: Bench) -> None:
    hold, first = asked(bench, "a")
    for name in ("b", "c"):
        assert back(bench, *asked(bench, name), name) == "c"
    assert promoted(bench) == []
    assert bench.settle((hold, [bench.state(State.SUCCESS, "a"), leave(bench, first)])) == "c"
    assert promoted(bench) == [b"b"]


def test_a_place_that_became_free_before_it_lay_in_line_is_not_missed(bench: Bench) -> None:
    hold, first = asked(bench, "a")
    refused, second = asked(bench, "b")
    assert bench.settle((hold, [leave(bench, first)])) == "c"
    assert back(bench, refused, second, "b") == "c"
    assert promoted(bench) == [b"b"], "at once, and not in five minutes"


def test_whoever_asks_meanwhile_does_not_take_the_place_of_the_first_in_line(bench: Bench) -> None:
    hold, first = asked(bench, "a")
    assert back(bench, *asked(bench, "b"), "b") == "c"
    assert bench.settle((hold, [leave(bench, first)])) == "c"
    _, newcomer = asked(bench, "c")
    assert newcomer.word == "places"
    assert promoted(bench) == [b"b"]


def test_who_was_revoked_in_line_is_passed_over(bench: Bench) -> None:
    hold, first = asked(bench, "a")
    for name in ("b", "c"):
        back(bench, *asked(bench, name), name)
    (copy,) = [one for one in bench.client.zrange(bench.queue.delayed, 0, -1) if one.startswith(b"b")]
    bench.client.zrem(bench.queue.delayed, copy)
    bench.client.hdel(bench.queue.ids, "b")
    assert bench.settle((hold, [leave(bench, first)])) == "c"
    assert promoted(bench) == [b"c"]
    assert waiting(bench) == [b"q/c"]


def test_who_was_woken_and_does_not_come_is_not_waited_for(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    hold, first = asked(bench, "a")
    back(bench, *asked(bench, "b"), "b")
    bench.settle((hold, [leave(bench, first)]))
    promoted(bench)
    freezer.tick(2.001)
    _, newcomer = asked(bench, "c")
    assert newcomer.word == "run"
    assert waiting(bench) == []


def test_a_copy_of_the_same_message_that_waits_for_another_time_is_not_woken(bench: Bench) -> None:
    hold, first = asked(bench, "a")
    back(bench, *asked(bench, "b"), "b")
    bench.enqueue(bench.later(b"tomorrow", delay=86_400, message="b"))
    bench.settle((hold, [leave(bench, first)]))
    assert promoted(bench) == [b"b"]


def test_the_places_of_the_dead_are_given_to_those_in_line_without_anybody_asking(bench: Bench) -> None:
    asked(bench, "a")
    back(bench, *asked(bench, "b"), "b")
    turns = Turns(Twice(bench))
    assert turns.wake(PLACES.name, lines(bench)) == 0
    assert promoted(bench) == []
    bench.reap("a", resent=[b"reaped", 0])
    (again,) = bench.waiting()
    assert turns.wake(PLACES.name, lines(bench)) == 1
    assert promoted(bench) == [again, b"b"]
    assert turns.wake(RATE.name, lines(bench)) == -1


def test_many_holders_are_looked_after_now_and_then(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    many = Limit(PLACES.name, "places", 40)
    holds = [asked(bench, f"m{number}", many)[0] for number in range(40)]
    late = turn(bench, bench.take("late"), "late", many)
    assert ask(bench, late) == ["places"]
    bench.client.xack(bench.stream, GROUP, holds[0].entry)
    assert ask(bench, late) == ["places"]
    freezer.tick(0.1)
    assert ask(bench, late) == ["run"]


def test_of_an_outcome_that_is_refused_the_place_is_free_all_the_same(bench: Bench) -> None:
    bench.client.hset(bench.keys.state("a"), mapping={"state": "SUCCESS", "expires_at": 2e12})
    hold, first = asked(bench, "a")
    assert bench.settle((hold, [bench.state(State.FAILURE, "a"), leave(bench, first)])) == "f"
    assert asked(bench, "b")[1].word == "run"


# -- a rate, and both ----------------------------------------------------------------------------------------


def test_a_turn_is_for_a_delivery_and_asked_for_once(bench: Bench) -> None:
    _, first = asked(bench, "a", RATE)
    assert first.word == "run"
    _, second = asked(bench, "b", RATE)
    assert (second.word, second.wait) == ("rate", 0.5)
    assert second.due is not None


def test_a_turn_that_was_not_used_is_given_back_to_whoever_asks_again(bench: Bench) -> None:
    burst = Limit(RATE.name, "bucket", 1, 60_000, burst=3)
    turns = [turn(bench, bench.take(name), name, burst) for name in "abc"]
    assert ask(bench, *turns) == ["run"] * 3
    assert ask(bench, turns[2]) == ["run"]
    assert ask(bench, turns[1]) == ["run"]
    assert asked(bench, "d", burst)[1].wait == 60


def test_no_place_no_turn_and_no_turn_no_place(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    _, first = asked(bench, "a", PLACES, RATE)
    assert first.word == "run"
    hold, second = asked(bench, "b", PLACES, RATE)
    assert second.word == "places"
    assert waiting(bench, RATE) == []
    bench.client.xack(bench.stream, GROUP, bench.holding("a")[0])
    third = turn(bench, hold, "b", PLACES, RATE)
    assert ask(bench, third) == ["rate"]
    assert waiting(bench, PLACES) == [], "the place is for whoever can use it"
    freezer.tick(0.5)
    assert ask(bench, third) == ["run"]


def test_who_does_not_begin_yet_gets_no_turn_and_a_place_in_line_if_it_is_not_now(bench: Bench) -> None:
    turns = [turn(bench, bench.take(name), name, PLACES, RATE) for name in "abc"]
    turns[0].begins = False
    assert ask(bench, turns[0]) == ["ask"]
    assert not any(bench.client.exists(key) for limit in (PLACES, RATE) for key in bench.keys.limit(limit.name))
    assert ask(bench, turns[1]) == ["run"]
    turns[2].begins = False
    assert ask(bench, turns[2]) == ["places"]
    assert waiting(bench) == [b"q/c"]


def test_messages_under_several_limits_ask_in_one_call(bench: Bench) -> None:
    other = Limit("rate:key:other", "window", 1, 1_000)
    turns = [turn(bench, bench.take(str(n)), str(n), limit) for n, limit in enumerate((RATE, other, RATE, other))]
    assert ask(bench, *turns) == ["run", "run", "rate", "rate"]


@pytest.mark.parametrize("limits", [(RATE, Limit(RATE.name, "bucket", 1, 1_000)), (PLACES, RATE), (WINDOW,)])
def test_who_asks_together_is_answered_as_one_after_the_other(bench: Bench, limits: tuple[Limit, ...]) -> None:
    """Also when two actors say different things of one limit."""
    answers = []
    fresh = benches(bench)
    for together in (True, False):
        one = next(fresh)
        turns = [turn(one, one.take(str(n)), str(n), limits[n % len(limits)], order=n + 1) for n in range(7)]
        for some in [turns] if together else [[each] for each in turns]:
            Turns(one.storage).ask(some, lines(one))
        answers.append([(each.word, each.wait, each.due) for each in turns])
    assert answers[0] == answers[1]
    assert {"run"} < {word for word, _, _ in answers[0]}


@pytest.mark.parametrize("limit", [PLACES, RATE, WINDOW])
@pytest.mark.parametrize("part", range(4))
def test_a_key_that_holds_something_else_lets_nobody_in(bench: Bench, limit: Limit, part: int) -> None:
    bench.spoil(bench.keys.limit(limit.name)[part])
    good = Limit("rate:key:good", "bucket", 1, 1_000)
    turns = [turn(bench, bench.take("a"), "a", limit), turn(bench, bench.take("b"), "b", good)]
    assert ask(bench, *turns) == ["odd", "run"]


def test_what_nobody_asks_of_any_more_is_forgotten(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    asked(bench, "a", RATE)
    asked(bench, "b", RATE)
    assert all(bench.client.pttl(key) > 0 for key in bench.keys.limit(RATE.name))
    freezer.tick(86_401)
    asked(bench, "c", WINDOW)
    asked(bench, "d", Limit("rate:key:new", "bucket", 1, 1_000))
    assert [*Turns(bench.storage).names()] == ["rate:key:new", WINDOW.name]


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("limits", [(RATE,), (WINDOW,), (PLACES,), (PLACES, RATE)])
def test_whichever_call_fails_nobody_is_let_in_beyond_the_limit(bench: Bench, limits: tuple[Limit, ...]) -> None:
    """What fails costs a turn at the worst, and gives none away; asking again is always answered."""
    fresh = benches(bench)
    for nth in range(1, 200):
        one = next(fresh)
        for name in "ab":
            bench_turn = turn(one, one.take(name), name, *limits)
            Turns(one.storage).ask([bench_turn], lines(one))
        late = turn(one, one.take("c"), "c", *limits)
        second = turn(one, one.take("d"), "d", *limits)
        injected = Injected(one.storage, "turns", nth=nth)
        with_error = False
        try:
            Turns(one.storage).ask([late, second], lines(one))
        except ServerUnavailable:
            with_error = True
        what = injected.failed()
        if not what:
            break
        assert not with_error or what.startswith("call"), what
        one.storage._scripts["turns"] = bench.storage._scripts["turns"]
        late.number = second.number = -1
        Turns(one.storage).ask([late, second], lines(one))
        assert [late.word, second.word] == [limits[0].kind if limits[0] is PLACES else "rate"] * 2, what
    assert nth > 15


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("action", ["leave", "join"])
def test_whichever_call_fails_a_place_is_left_or_waited_for_or_nothing_is_done(bench: Bench, action: str) -> None:
    def prepared(one: Bench) -> tuple[Hold, list[Ops]]:
        hold, first = asked_plainly(one, "a")
        waits, second = asked_plainly(one, "b")
        if action == "join":
            return waits, [join(one, second), one.later(b"b", delay=300, message="b")]
        one.settle((waits, [join(one, second), one.later(b"b", delay=300, message="b")]))
        return hold, [one.state(State.SUCCESS, "a"), leave(one, first)]

    assert settle(bench, prepared(bench)) == "ccc"
    seen: list[str] = []
    for _, what, verdict, before, after in each_failing_call(bench, prepared):
        seen.append(what)
        if what.startswith("call"):
            assert verdict == "cec", what
            assert after == before, what
        else:
            assert verdict == "ccc", what
    assert {"call ZADD", "call ZSCORE", "call ZCARD"} <= set(seen)


@pytest.mark.brokers("server")
def test_whichever_call_fails_all_places_of_a_batch_are_free_and_those_in_line_are_woken(bench: Bench) -> None:
    several, single = Limit(PLACES.name, "places", 4), Limit("places:key:other", "places", 1)
    seen: list[str] = []
    for one, nth in zip(benches(bench), range(4, 200), strict=False):
        names = ("a", "b", "c", "d", "e")
        limits = (several, several, several, several, single)
        running = [asked_plainly(one, name, limit) for name, limit in zip(names, limits, strict=True)]
        assert [asks.word for _, asks in running] == ["run"] * 5
        for name, limit in (("f", several), ("g", several), ("h", single)):
            hold, asks = asked_plainly(one, name, limit)
            one.settle((hold, [join(one, asks, limit), one.later(name.encode(), delay=300, message=name)]))
        injected = Injected(one.storage, "settle", nth=nth)
        outcomes = [
            (hold, [one.state(State.SUCCESS, name), leave(one, asks, limit)])
            for name, limit, (hold, asks) in zip(names, limits, running, strict=True)
        ]
        try:
            verdicts = one.settle(*outcomes)
        except ServerUnavailable:
            break  # the note of the batch: nothing comes after it
        what = injected.failed()
        seen.append(what)
        assert verdicts == "ccccc", what
        assert [one.client.zcard(one.keys.limit(limit.name)[1]) for limit in (several, single)] == [0, 0], what
        assert {b"f", b"g", b"h"} <= set(promoted(one)), what
    assert {"call ZREM", "call ZCARD", "call ZADD"} <= set(seen)


def asked_plainly(one: Bench, message: str, *limits: Limit) -> tuple[Hold, Turn]:
    hold = one.take(message)
    asks = turn(one, hold, message, *limits)
    Turns(one.storage).ask([asks], lines(one))
    return hold, asks
