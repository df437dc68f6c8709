"""Keeps limits: at most so many bodies begin within a time, or run at once, in all workers together.

A message over its limit goes back to its queue until it is its turn. That holds no thread, burns no attempt, and is
fair in the order of arrival (docs/explanation/limits.md).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware

from understudy import clock
from understudy.actors import Actor, declared
from understudy.brokers.queueing import QueueingBroker
from understudy.brokers.settlement import HeldMessage
from understudy.errors import GuardUnavailable, NotYet, ServerUnavailable
from understudy.keyed import ConcurrencyLimit, RateLimit
from understudy.options import ActorOptions
from understudy.outcome import Disposition
from understudy.plans.place import TAKES
from understudy.turns import ARRIVED, IN_LINE, Limit, Turn, Turns, member, own_key

from .executions import of, opened

logger = logging.getLogger(__name__)

#: Seconds for which a turn under a rate is good that was given before the body could begin.
FRESH = 0.05


class Limits(Middleware):
    """The guard. It fails closed: if the server cannot be asked, the body does not run (P12)."""

    @property
    def actor_options(self) -> set[str]:
        return {"rate_limit", "concurrency_limit", "rate_limit_key", "concurrency_limit_key"}

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> bool:
        return _limited(declared(actor))

    def before_work(self, broker: Broker, messages: list[HeldMessage]) -> None:
        """Ask for the turns of messages that were fetched together, in one round trip; not for those of which a guard
        above knows already that they do not run.

        A turn that is given to a message which begins much later is lost to others. So those that wait here for a
        thread are only told if their turn is later: the line is in order before anybody comes out of it. If the server
        cannot be asked, each message asks when it begins.
        """
        wanted: list[HeldMessage] = []
        left: dict[str, int] = {}
        guards = [guard for guard in broker.middleware if hasattr(guard, "bars")]
        for held in messages:
            actor = broker.actors.get(held.actor_name)
            # A key may be made of the input of a step, which is not read yet.
            if actor is None or not _limited(declared(actor)) or TAKES in held.options:
                continue
            if any(guard.bars(broker, held) for guard in guards):
                continue
            assert isinstance(broker, QueueingBroker)
            soon = left.setdefault(held.queue_name, broker.begin_soon(held.queue_name))
            left[held.queue_name] -= 1
            with suppress(Exception):  # a key that cannot be made fails the message when it begins
                held.turn = turn_of(held, actor)
                held.turn.begins = soon > 0
                wanted.append(held)
        if not wanted:
            return
        assert isinstance(broker, QueueingBroker)
        try:
            _ask(broker, wanted)
        except ServerUnavailable as error:
            logger.debug("turns could not be asked for ahead: %s", error)

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, _ = of(broker, message)
        actor = opened(held).actor
        if not _limited(declared(actor)):
            return
        assert isinstance(broker, QueueingBroker)
        if held.turn is None:
            held.turn = turn_of(held, actor)
        turn = held.turn
        if not _holds_good(turn, broker.settings.heartbeat_timeout):
            turn.begins = True
            try:
                _ask(broker, [held])
            except ServerUnavailable as error:
                raise GuardUnavailable(f"limits could not be asked for, so the actor did not run: {error}") from error
        if turn.word == "run":
            return
        if turn.word == "lost":
            raise opened(held).hold_lost()
        if turn.word == "odd":
            raise GuardUnavailable(
                f"a limit of {held.actor_name} cannot be kept, so the actor did not run: one of its keys on the server "
                "holds something that Understudy did not write; remove it"
            )
        delay = max(turn.wait - (clock.monotonic() - turn.at), 0.001)
        # Not the key, which may be made of arguments.
        if turn.word == "places":
            logger.debug("%s waits: all places of its concurrency limit are taken", held)
            raise NotYet("all places are taken", delay=delay)
        logger.debug("%s waits: its turn under its rate limit is in %.3f s", held, delay)
        raise NotYet("its turn is later", delay=delay)

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, _ = of(broker, message)
        turn, line = held.turn, held.options.pop(IN_LINE, "")
        if turn is None:
            held.quits = line  # a guard above keeps it from running
        if held.outcome.disposition is not Disposition.HAND_BACK:
            held.options.pop(ARRIVED, None)  # a retry arrives anew
        elif turn is not None and not (held.execution is not None and held.execution.entered):
            held.options[ARRIVED] = turn.order
            waits = turn.places if turn.word == "places" else turn.rate
            if isinstance(exception, NotYet) and waits is not None:
                held.outcome.due, held.options[IN_LINE] = turn.due, waits.name

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        self.after_process_message(broker, message)


def turn_of(held: HeldMessage, actor: Any) -> Turn:
    """What a message asks for.

    Raises:
      ValueError: the template of a key does not fit the arguments.
    """
    options = declared(actor)
    limits = []
    # Places first: they are asked for first.
    if options.concurrency_limit is not None:
        policy = options.concurrency_limit
        limits.append(Limit.of_places(policy, key_of(held, actor, policy, "concurrency_limit_key")))
    if options.rate_limit is not None:
        limits.append(Limit.of_rate(options.rate_limit, key_of(held, actor, options.rate_limit, "rate_limit_key")))
    return Turn(held.hold.token, member(held.queue_name, held.message_id), arrival_of(held), tuple(limits))


def key_of(held: HeldMessage, actor: Actor[Any, Any], policy: RateLimit | ConcurrencyLimit, option: str) -> str:
    """The message's own key, else the actor's template over the arguments, else the actor itself."""
    given = held.options.get(option)
    if given is not None:
        return f"key:{given}"
    if policy.key is None:
        return own_key(held.actor_name)
    if not policy.placeholders:
        return f"key:{policy.key}"
    try:
        arguments = actor.arguments(held.args, held.kwargs)
    except TypeError:
        return own_key(held.actor_name)  # the body will fail with the same TypeError, and say it better
    return f"key:{policy.render(arguments)}"


def arrival_of(held: HeldMessage) -> float:
    """When a message arrived, which is its place in line: in ms, with the order within one behind the point."""
    arrived = held.options.get(ARRIVED)
    if arrived is not None:
        return float(arrived)
    if held.hold.suspect:
        return float(held.message_timestamp)  # its worker died: its entry is new, and it is not
    milliseconds, _, number = held.hold.entry.partition("-")
    return int(milliseconds) + min(int(number or 0), 4_095) / 4_096


def _limited(options: ActorOptions) -> bool:
    return options.rate_limit is not None or options.concurrency_limit is not None


def _holds_good(turn: Turn, lease: float) -> bool:
    """Whether what was answered ahead is still so."""
    if turn.word is None or turn.word == "ask":
        return False
    passed = clock.monotonic() - turn.at
    if turn.word == "rate":
        return passed < turn.wait
    if turn.word == "run" and any(limit.kind != "places" for limit in turn.limits):
        return passed < FRESH
    return passed < lease / 2


def _ask(broker: QueueingBroker, messages: list[HeldMessage]) -> None:
    turns = [held.turn for held in messages if held.turn is not None]
    # Who holds a place or waits is in a queue of an actor under limits; whether these are held is seen in their own.
    limited = {actor.queue_name for actor in broker.actors.values() if _limited(declared(actor))}
    limited.update(held.queue_name for held in messages)
    queues = {name: keys for name, keys in broker.lines().items() if name in limited}
    for turn in turns:
        turn.word = None
    Turns(broker.storage).ask(turns, queues)
    now = clock.monotonic()
    for turn in turns:
        turn.at = now
