"""From an outcome to the operations that commit it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import msgspec
from dramatiq import Message
from dramatiq.errors import ActorNotFound

from understudy import clock
from understudy.actors import declared
from understudy.errors import DecodeError, Revoked
from understudy.exceptions import encode_exception
from understudy.holds import Hold
from understudy.outcome import Disposition, Outcome
from understudy.plans.place import WORKFLOW, Place
from understudy.states import State
from understudy.turns import Limit, member
from understudy.uniqueness import OPTION, Lock, lock_name, lock_of

from . import followers, pipelines, staging, workflows
from .committer import REVOKED, UNCLAIMED
from .held import HeldMessage
from .names import QueueKeys
from .operations import Operations
from .transport import Transport

logger = logging.getLogger(__name__)

#: Seconds before a message comes back whose claim was another's.
UNCLAIMED_PAUSE = 1.0
#: Seconds between two looks for a worker that knows the actor of a message.
UNKNOWN_ACTOR_PAUSE = 5.0

_BACK = (Disposition.RETRY, Disposition.HAND_BACK)
_DEAD = (Disposition.FAILED, Disposition.DEAD)


def conclude(broker: Transport, held: HeldMessage) -> None:
    """Settle what is still open: the disposition, and what becomes of a message whose actor is unknown here."""
    if held.execution is None and isinstance(held._exception, ActorNotFound):
        _unknown_actor(broker, held, held._exception)
    if held.outcome.disposition is None:
        held.outcome.decide(Disposition.FAILED if held.failed else Disposition.DONE)
    # Everything is encoded here, in the thread of the message: a batch must not fail on the data of one of them.
    outcome = held.outcome
    letters: list[tuple[Message[Any], float | None, Hold | None]] = []
    letters += ((message, delay, None) for message, delay in outcome.follow_ups)
    letters += ((message, None, None) for message in followers.of_outcome(broker, held))
    if outcome.disposition in _BACK:
        kept = held.hold if outcome.disposition is Disposition.HAND_BACK else None
        if kept is not None and held.execution is not None and held.execution.came_on:
            kept = replace(kept, deaths=0, in_all=max(kept.deaths, kept.in_all))
        letters.append((outcome.again or held._message, outcome.delay or None, kept))
    held.letters = [(message, message.encode(), delay, hold) for message, delay, hold in letters]
    held.body = b""
    if outcome.disposition in _DEAD:
        held.body = _body(
            *(held.hold, held._message.encode(), outcome.reason),
            worker=broker.worker_id,
            lock=lock_of(held._message, broker.actors),
        )


def instead(held: HeldMessage, verdict: str) -> bool:
    """Decide what becomes of a message whose outcome was refused while it is held; False when nothing can."""
    marks, held.outcome = held.outcome.marks, Outcome()
    outcome = held.outcome
    if held.execution is not None:
        held.options["retries"] = held.execution.retries  # as the refused outcome found it
    if verdict == UNCLAIMED:
        # It comes back and asks who has the claim.
        outcome.marks = marks
        outcome.decide(Disposition.HAND_BACK, delay=UNCLAIMED_PAUSE, reason="its claim is another's")
        return True
    if verdict == REVOKED:
        # Its body was let run to its end; what it returned is not begun.
        outcome.marks = marks
        outcome.decide(Disposition.DONE, reason="it is revoked, so what it returned does not go on in its place")
        outcome.state = State.REVOKED
        outcome.fields.update(
            actor=held.actor_name, queue=held.queue_name, exception=encode_exception(Revoked("revoked"))
        )
        if held.execution is not None and held.execution.claim_key is not None:
            outcome.claim = "release"
        return True
    held.misfits += 1
    if held.execution is not None:
        held.execution.uses_items = False  # the key of its items may be the one; the next attempt does without
    text = (
        "its outcome could not be recorded: a key on the server holds something that Understudy did not write, or a "
        "command failed there (the server's log may say which)"
    )
    if held.misfits > 2:
        logger.error("%s: %s; it stays with this worker until that is repaired and the worker restarted", held, text)
        return False
    logger.error("%s: %s; it is a dead letter", held, text)
    outcome.decide(Disposition.DEAD, reason=text)
    if held.misfits == 1:
        outcome.state = State.FAILURE
        outcome.fields.update(
            actor=held.actor_name, queue=held.queue_name, exception=encode_exception(DecodeError(text))
        )
    return True


def size_of(held: HeldMessage) -> int:
    """About how many bytes the outcome is."""
    outcome = held.outcome
    size = 500 + len(outcome.claim_result) + len(held.body)
    for _, payload, _, _ in held.letters:
        size += len(payload)
    for value in outcome.fields.values():
        size += len(value) if isinstance(value, bytes | str) else 8
    return size


def write(broker: Transport, held: HeldMessage, operations: Operations) -> int:
    """Add the operations of the outcome of ``held``; returns how many."""
    outcome, execution, keys = held.outcome, held.execution, broker.storage.keys
    count = 0
    finished = outcome.state is not None and outcome.state.terminal
    ttl = _ttl(broker, held)
    place = Place.of(held.message_id, held.options) if WORKFLOW in held.options else None
    if held.started:
        operations.begun(keys.started(held.started), held.hold.entry)
        count += 1
    if outcome.state is not None or outcome.fields:
        # What others need while their workflow goes on does not expire before that has ended.
        kept = ttl if place is None else workflows.UNFINISHED
        operations.state(
            keys.state(held.message_id), outcome, channel=keys.channel(held.message_id), ttl=kept if finished else 0
        )
        count += 1
    if outcome.marks or (finished and execution is not None and execution.uses_items):
        scope = (execution.items_scope if execution else "") or held.message_id
        # As long as the message can be brought back from the dead letters, it goes on where it stopped.
        kept = max(ttl, outcome.claim_ttl, broker.dead_ttl if held.body else 0) if finished else 0
        operations.marks(keys.items(scope), outcome.marks, token=held.hold.token, ttl=kept)
        count += 1
    if outcome.claim and execution is not None and execution.claim_key is not None:
        operations.claim(
            keys.claim(execution.claim_key),
            outcome,
            token=held.hold.token,
            items=keys.claimed_items(execution.claim_key),
            ttl=max(ttl, broker.dead_ttl) if held.body else ttl,
        )
        count += 1
    if held.staged:
        staging.publish(broker, held, operations)
        count += 1
    if (place is not None or outcome.continued is not None) and outcome.disposition not in _BACK and held.misfits < 2:
        count += workflows.goes_on(broker, operations, held, place, _end(outcome))
    if pipelines.TARGET in held.options and outcome.disposition not in _BACK:
        count += _stop_pipeline(broker, operations, held, ttl)
    # Before what follows, which may be the next one of its kind. A lock that fails an outcome is somebody else's.
    if not held.misfits:
        flow = "" if outcome.continued is None else keys.workflow(outcome.continued.workflow)
        ended = outcome.disposition not in _BACK and not flow
        count += _free(broker, operations, held._message, ended=ended, flow=flow)
    waits = _waits(held) if held.turn is not None else None
    if held.turn is not None:
        count += _leave(broker, held, operations, waits)
    elif held.quits and not held.misfits:
        operations.quit(keys, held.quits, member(held.queue_name, held.message_id), broker.lines())
        count += 1
    held.numbers, held.refused = [], {}
    for message, payload, delay, hold in held.letters:
        if waits is not None and held.turn is not None and message is held._message:
            action: Literal["join", "wait"] = "join" if waits.kind == "places" else "wait"
            operations.turn(keys, held.turn, waits, broker.lines(), action=action)
            count += 1
        # What comes back stands already, or did when it was sent.
        held.numbers.append(0 if message.message_id == held.message_id else broker.stand(operations, message, delay))
        count += held.numbers[-1] > 0
        due = outcome.due if message is held._message else None
        broker.put(operations, message, payload, delay, hold=hold, due=due)
        count += 1
    if held.body:
        # Named as the letter of a worker's death is (``poison.py``), so that both are counted alike.
        token = f"{held.queue_name}/dead/{held.hold.entry}" if outcome.poison else held.hold.token
        operations.dead(broker.keys_of(held.queue_name), f"{held.message_id}|{token}", held.body, ttl=broker.dead_ttl)
        count += 1
    return count


def _end(outcome: Outcome) -> str:
    """What a workflow is told of a message that comes back no more."""
    if outcome.stops:
        return workflows.SKIPPED
    if outcome.state is not None and outcome.state.terminal:
        return outcome.state.value
    return State.SUCCESS if outcome.disposition is Disposition.DONE else State.FAILURE


def _stop_pipeline(broker: Transport, operations: Operations, held: HeldMessage, ttl: float) -> int:
    """What comes after it in one of Dramatiq's pipelines never runs, unless it has succeeded."""
    outcome = held.outcome
    state, fields = outcome.state, outcome.fields
    exception, traceback = fields.get("exception", b""), fields.get("traceback", b"")
    if outcome.stops:
        state, traceback = State.REVOKED, b""
        exception = encode_exception(Revoked(f"message {held.message_id} was skipped, so nothing follows it"))
    if state is None or state is State.SUCCESS:
        return 0
    keys = broker.storage.keys
    return pipelines.stop(
        *(operations, keys, held.message_id, held.options),
        state=state,
        exception=exception,
        traceback=traceback,
        ttl=max(ttl, broker.dead_ttl),
    )


def write_unreadable(
    broker: Transport, operations: Operations, queue: QueueKeys, hold: Hold, data: bytes, error: Exception
) -> int:
    """A dead letter with the bytes; FAILURE for whoever waits, if the message's id can be read."""
    operations.dead(
        queue,
        f"?|{hold.token}",
        _body(hold, data, f"cannot be read: {error}", worker=broker.worker_id),
        ttl=broker.dead_ttl,
    )
    message_id, actor_name, options = _legible(data)
    if message_id is None:
        return 1
    failure = DecodeError(f"the message cannot be read by this worker: {error}")
    count = 1 + _failure(broker, operations, message_id, queue, failure, actor="", options=options)
    lock = lock_name(actor_name, options)
    if lock is None:
        return count
    operations.free(broker.storage.keys.unique(lock), message_id, ended=True)
    return count + 1


def write_dead(
    broker: Transport,
    operations: Operations,
    queue: QueueKeys,
    hold: Hold,
    payload: bytes,
    message: Message[Any] | None,
    error: Exception,
) -> int:
    """A dead letter of an entry that nobody works on; FAILURE for whoever waits."""
    name = "?" if message is None else message.message_id
    operations.dead(
        queue,
        f"{name}|{hold.token}",
        _body(
            *(hold, payload, str(error)),
            worker=hold.worker,
            exception=type(error).__name__,
            lock=None if message is None else lock_of(message, broker.actors),
        ),
        ttl=broker.dead_ttl,
    )
    if message is None:
        return 1
    count = 1 + _failure(
        broker, operations, message.message_id, queue, error, actor=message.actor_name, options=message.options
    )
    count += _free(broker, operations, message, ended=True)
    for follower in followers.of_failure(broker, message, error):
        count += 1 + (broker.stand(operations, follower, None) > 0)
        broker.put(operations, follower, follower.encode(), None)
    return count


def _free(broker: Transport, operations: Operations, message: Message[Any], *, ended: bool, flow: str = "") -> int:
    lock = lock_name(message.actor_name, message.options) if OPTION in message.options else None
    if lock is None:
        return 0
    operations.free(broker.storage.keys.unique(lock), message.message_id, ended=ended, flow=flow)
    return 1


def _waits(held: HeldMessage) -> Limit | None:
    """The limit for whose sake the message goes back, if that is why."""
    turn, outcome = held.turn, held.outcome
    if turn is None or outcome.disposition is not Disposition.HAND_BACK or _began(held) or held.misfits:
        return None
    if turn.word == "places" and outcome.delay > 0:
        return turn.places
    return turn.rate if turn.word == "rate" and outcome.due is not None else None


def _leave(broker: Transport, held: HeldMessage, operations: Operations, waits: Limit | None) -> int:
    """What held a place, or may hold one because the answer was lost, holds none any more. What does not begin stands
    in no line, and gives back a turn that it has not used."""
    turn, count = held.turn, 0
    if turn is None or turn.word in ("lost", "odd") or held.misfits:
        return 0
    stays = _stays(held)
    if turn.places is not None and turn.places is not waits and turn.word != "rate" and not stays:
        operations.turn(broker.storage.keys, turn, turn.places, broker.lines(), action="leave")
        count += 1
    if turn.rate is not None and waits is None and turn.word != "places" and not (_began(held) or stays):
        operations.turn(broker.storage.keys, turn, turn.rate, broker.lines(), action="quit")
        count += 1
    return count


def _began(held: HeldMessage) -> bool:
    return held.execution is not None and held.execution.entered


def _stays(held: HeldMessage) -> bool:
    """Whether the message goes back at once and unseen, and keeps its place in line."""
    back = held.execution is None and held.outcome.disposition is Disposition.HAND_BACK and not held.outcome.delay
    return back and held.turn is not None and held.turn.word in ("ask", "rate")


def _failure(
    broker: Transport,
    operations: Operations,
    message_id: str,
    queue: QueueKeys,
    error: Exception,
    *,
    actor: str,
    options: dict[str, Any],
) -> int:
    keys = broker.storage.keys
    outcome = Outcome(state=State.FAILURE)
    outcome.fields.update(actor=actor, queue=queue.queue, exception=encode_exception(error))
    kept = workflows.UNFINISHED if WORKFLOW in options else broker.settings.result_ttl
    operations.state(keys.state(message_id), outcome, channel=keys.channel(message_id), ttl=kept)
    exception, ttl = outcome.fields["exception"], max(broker.settings.result_ttl, broker.dead_ttl)
    count = 1 + workflows.ended(broker, operations, message_id, options, State.FAILURE)
    return count + pipelines.stop(
        operations, keys, message_id, options, state=State.FAILURE, exception=exception, ttl=ttl
    )


def _ttl(broker: Transport, held: HeldMessage) -> float:
    actor = broker.actors.get(held.actor_name)
    ttl = declared(actor).result_ttl if actor is not None else None
    return broker.settings.result_ttl if ttl is None else ttl


def _body(
    hold: Hold, payload: bytes, reason: str, *, worker: str, exception: str = "", lock: Lock | None = None
) -> bytes:
    body: dict[str, Any] = {"message": payload, "reason": reason, "worker": worker}
    body["exception"] = exception or _name_in(reason)
    if lock is not None:
        body["stands"] = (lock.until, lock.ttl)
    return msgspec.json.encode(
        {**body, "stream": hold.stream, "entry": hold.entry, "deaths": max(hold.deaths, hold.in_all)}
    )


def _name_in(reason: str) -> str:
    """The reason of a failure is the exception's name, that of anything else is a sentence."""
    return reason if reason.isidentifier() else ""


def _unknown_actor(broker: Transport, held: HeldMessage, error: ActorNotFound) -> None:
    """In a rolling deploy another worker may know the actor; after a while nobody shall wait in vain (S20)."""
    now = clock.now()
    since = float(held.options.setdefault("unknown_since", now))
    left = since + broker.settings.unknown_actor_grace - now
    outcome = held.outcome
    if left > 0:
        held.failed = False
        outcome.decide(Disposition.HAND_BACK, delay=min(left, UNKNOWN_ACTOR_PAUSE), reason=str(error))
        return
    logger.error("%s: no worker knows its actor; it is a dead letter now", held)
    outcome.decide(Disposition.DEAD, reason=str(error))
    outcome.state = State.FAILURE
    outcome.fields.update(actor=held.actor_name, queue=held.queue_name, exception=encode_exception(error))


def _legible(data: bytes) -> tuple[str | None, str, dict[str, Any]]:
    """Id, actor and options of a message, as far as they can be read."""
    try:
        fields: Any = msgspec.json.decode(data)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return None, "", {}
    found, actor_name, options = (fields.get(name) for name in ("message_id", "actor_name", "options"))
    return (
        found if isinstance(found, str) and found else None,
        actor_name if isinstance(actor_name, str) else "",
        options if isinstance(options, dict) else {},
    )
