"""At most one outcome per key, at most one live holder that runs the body (P3).

Before the body the key is *claimed*, for as long as this delivery is held. The claim is *completed* with the result in
the commit of a success, *kept* for the same message when it retries or is handed back, and *released* when it failed
for good, so that somebody may try anew. All but the claim itself happen inside the outcome's one script.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any
from urllib.parse import quote

import dramatiq
from dramatiq import Broker, Middleware
from dramatiq.middleware import Pipelines, SkipMessage

from understudy import clock, serialization
from understudy.actors import Actor, declared
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.errors import (
    BodyDied,
    DuplicateRunning,
    GuardUnavailable,
    HandBack,
    InDoubt,
    LeaseLost,
    Revoked,
    ServerUnavailable,
)
from understudy.exceptions import encode_exception
from understudy.execution import Execution
from understudy.handle import Handle
from understudy.keyed import placed
from understudy.options import Idempotency as Declaration
from understudy.outcome import Disposition
from understudy.plans.place import TAKES
from understudy.records import Claim
from understudy.states import State

from .executions import of, opened

logger = logging.getLogger(__name__)

#: Stands in the place of the result while an outcome goes on as a workflow; nothing is encoded like this.
GOES_ON = b"\0"
#: Seconds for which it is remembered, beyond the TTL, that it did: so long may a workflow take.
WORKFLOW = 30 * 86_400.0
#: A waiting duplicate looks again after this many seconds, or when the key is no longer kept if that is sooner.
LOOK_AGAIN = 1.0
#: ... but not more often than this.
NOT_BEFORE = 0.05


class Idempotency(Middleware):
    """The guard. It fails closed: if the server cannot be asked, the body does not run (P12)."""

    @property
    def actor_options(self) -> set[str]:
        return {"idempotency"}

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> bool:
        return declared(actor).idempotency is not None

    def before_work(self, broker: Broker, messages: list[HeldMessage]) -> None:
        """Claim the keys of messages that were fetched together, in one round trip, as far as nobody has used them.

        Not for ``on_doubt="skip"``, whose claims say whether the body has begun. If the server cannot be asked, each
        message asks when it begins.
        """
        if not isinstance(broker, SettlingBroker):
            return
        wanted = []
        # Of messages that were fetched together most are for one actor.
        actor_name, named = "", None
        for held in messages:
            if held.actor_name != actor_name:
                actor_name = held.actor_name
                named = claimed_ahead(broker.actors.get(actor_name))
            # A key may be made of the input of a step, which is not read yet.
            if named is not None and TAKES not in held.options:
                try:
                    held.claim_name = named(held)
                except Exception:  # noqa: BLE001 - a key that cannot be made fails the message when it begins
                    continue
                wanted.append(held)
        if not wanted:
            return
        now = clock.monotonic()
        try:
            claimed = broker.records.claim_ahead([(held.claim_name, held.hold, held.message_id) for held in wanted])
        except ServerUnavailable as error:
            logger.debug("keys could not be claimed ahead: %s", error)
            return
        for held, letter in zip(wanted, claimed, strict=True):
            if letter == "r":
                held.claimed_at = now
            elif letter == "d":
                held.duplicate = True

    def bars(self, broker: Broker, held: HeldMessage) -> bool:
        """Whether it was seen ahead that a message does not run now."""
        return held.duplicate

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        # Half a lease later somebody else may have the message, and the key.
        if clock.monotonic() - held.claimed_at < settling.settings.heartbeat_timeout / 2:
            execution.items_scope, execution.claim_key = f"key:{held.claim_name}", held.claim_name
            return
        policy = declared(execution.actor).idempotency
        if policy is None:
            return
        key = held.claim_name or claim_name(held, execution.actor, policy)
        try:
            claim = self._claim(settling, held, execution, policy, key)
        except ServerUnavailable as error:
            # It may have been taken all the same. Left as it is, it would look like that of a worker that died.
            execution.claim_key, execution.unheard = key, True
            raise GuardUnavailable(f"idempotency could not claim its key, so the actor did not run: {error}") from error
        if claim.verdict == "lost":
            raise execution.hold_lost()
        execution.items_scope = f"key:{key}"
        if claim.verdict == "done":
            self._already_done(settling, held, execution, claim)
        if claim.verdict == "finished":
            execution.duplicate = True
            raise SkipMessage("this message has ended already")
        if claim.verdict == "busy":
            self._twin_runs(held, execution, policy, claim)
        execution.claim_key = key
        if claim.verdict == "takeover" and policy.on_doubt == "skip":
            raise InDoubt(
                f"a worker died while it ran message {claim.owner}; it may have taken effect, and "
                f"{held.actor_name} says that such work is not repeated"
            )

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, _ = of(broker, message)
        execution, outcome = held.execution, held.outcome
        if execution is None or execution.claim_key is None:
            return
        policy = declared(execution.actor).idempotency or Declaration()
        ttl = policy.seconds
        if outcome.continued is not None:
            # The outcome is that of the workflow that goes on in its place: whoever meets it looks there.
            outcome.claim, outcome.claim_ttl, outcome.claim_result = "complete", ttl + WORKFLOW, GOES_ON
        elif outcome.state is State.SUCCESS:
            outcome.claim, outcome.claim_ttl = "complete", ttl
            outcome.claim_result = bytes(outcome.fields.get("result", b""))  # type: ignore[arg-type]  # encoded
        elif isinstance(exception, LeaseLost | BodyDied):
            # Whoever took the message has it; of a claim that was lost nothing is ours. And a body that died leaves
            # what a worker that died leaves: the next delivery finds that it may have taken effect.
            outcome.claim = ""
        elif outcome.disposition in (Disposition.RETRY, Disposition.HAND_BACK):
            # Nobody else enters while the message is on its way back. Should it vanish, the key is free again
            # after the TTL.
            outcome.claim, outcome.claim_ttl = "undo" if execution.unheard else "keep", outcome.delay + ttl
            outcome.fields["claim"] = execution.claim_key  # whoever revokes it meanwhile sets the key free
        else:
            outcome.claim = "release"

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        held, _ = of(broker, message)
        execution = held.execution
        if execution is not None and execution.duplicate and held.outcome.state is State.SUCCESS:
            self._next_step(broker, held)
        self.after_process_message(broker, message)

    def _claim(
        self, settling: SettlingBroker, held: HeldMessage, execution: Execution, policy: Declaration, key: str
    ) -> Claim:
        """Ask for the key. An outcome that went on as a workflow is what that has come to: done, busy, or nothing. One
        that a resume has taken back is nothing."""
        records, streams = settling.records, settling.streams_of(held.queue_name)
        tells = policy.on_doubt == "skip"
        ask = partial(records.claim, key, execution.hold, message_id=held.message_id, streams=streams, tells=tells)
        claim = ask()
        if claim.verdict == "done" and claim.owner == held.message_id and execution.workflow is not None:
            record = records.read(held.message_id)
            # Claim and record are committed together, so only whoever runs the step anew can have removed the record.
            if not record.state.terminal and "instead" not in record.fields:
                return ask(but_not=claim.owner)
        if claim.verdict != "done" or claim.result != GOES_ON:
            return claim
        found = Handle(claim.owner, records)
        record = found.read()
        if record.state is State.SUCCESS:
            done_at = record.seconds("done_at")
            if done_at is None or clock.now() < done_at + policy.seconds:
                return replace(claim, result=serialization.dumps(found.result, root="result"))
        elif record.fields and not record.state.terminal:
            return replace(claim, verdict="busy", wait=None)
        elif claim.owner == held.message_id:
            return replace(claim, verdict="finished")
        return ask(but_not=claim.owner)

    def _already_done(self, settling: SettlingBroker, held: HeldMessage, execution: Execution, claim: Claim) -> None:
        execution.duplicate = True
        if claim.owner == held.message_id and settling.records.read(held.message_id).state.terminal:
            raise SkipMessage("done already")
        held.outcome.state = State.SUCCESS
        held.outcome.fields.update(actor=held.actor_name, queue=held.queue_name, result=claim.result)
        if claim.owner != held.message_id:
            held.outcome.fields["duplicate_of"] = claim.owner
        raise SkipMessage(f"done already by message {claim.owner}")

    def _next_step(self, broker: Broker, held: HeldMessage) -> None:
        """A pipeline goes on with the stored result."""
        result = serialization.loads(bytes(held.outcome.fields["result"]))  # type: ignore[arg-type]  # encoded
        for middleware in broker.middleware:
            if isinstance(middleware, Pipelines):
                middleware.after_process_message(broker, held, result=result)  # type: ignore[no-untyped-call]

    def _twin_runs(self, held: HeldMessage, execution: Execution, policy: Declaration, claim: Claim) -> None:
        execution.duplicate = True
        told = f"message {claim.owner} holds the same idempotency key"
        if policy.on_running == "wait" or claim.owner == held.message_id:
            # The same message delivered twice is never skipped or failed: its record is the twin's.
            raise HandBack(
                told, delay=LOOK_AGAIN if claim.wait is None else min(max(claim.wait, NOT_BEFORE), LOOK_AGAIN)
            )
        if policy.on_running == "fail":
            raise DuplicateRunning(told)
        held.outcome.state = State.REVOKED
        held.outcome.fields["exception"] = encode_exception(Revoked(told))
        raise SkipMessage(told)


def claimed_ahead(actor: dramatiq.Actor[..., Any] | None) -> Callable[[HeldMessage], str] | None:
    """What names the claims of an actor's messages; None where keys are not claimed ahead."""
    policy = None if actor is None else declared(actor).idempotency
    if policy is None or policy.on_doubt != "repeat" or not isinstance(actor, Actor):
        return None
    prefix, names = f"{_quoted(actor.actor_name)}:", actor.names or ()
    template, count = "" if policy.key is None else placed(policy.key, names), len(names)

    def name(held: HeldMessage) -> str:
        key = ""
        # The same as below in a third of the time. What is empty, or does not fit, is seen to there.
        if template and not held.kwargs and len(held.args) == count and "idempotency_key" not in held.options:
            key = template.format(*held.args)
        return prefix + (key or key_of(held, actor, policy))

    return name


def claim_name(held: HeldMessage, actor: Actor[Any, Any], policy: Declaration) -> str:
    """What is claimed for a message: its key among those of its actor."""
    return f"{_quoted(held.actor_name)}:{key_of(held, actor, policy)}"


@cache
def _quoted(actor_name: str) -> str:
    return quote(actor_name, safe="")


def key_of(held: HeldMessage, actor: Actor[Any, Any], policy: Declaration) -> str:
    """The message's own key, else the actor's template over the arguments, else the message's id."""
    given = held.options.get("idempotency_key")
    if given is not None:
        return str(given)
    if policy.key is None:
        return held.message_id
    try:
        arguments = actor.arguments(held.args, held.kwargs)
    except TypeError:
        return held.message_id  # the body will fail with the same TypeError, and say it better
    return policy.render(arguments)
