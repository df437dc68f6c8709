"""Leaves alone what is broken: the guard of actors that declare ``circuit_breaker``."""

from __future__ import annotations

import logging
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware
from dramatiq.middleware import Shutdown

from understudy import clock
from understudy.actors import Actor, declared
from understudy.breaking import CircuitBreaker
from understudy.brokers.settlement import HeldMessage
from understudy.circuits import PROBE, Circuits
from understudy.durations import to_seconds
from understudy.errors import CircuitOpen, GuardUnavailable, HandBack, LeaseLost, ServerUnavailable
from understudy.execution import Execution

from .executions import of, opened

logger = logging.getLogger(__name__)

#: How the body ended says nothing about what it called.
SAYS_NOTHING = (HandBack, ServerUnavailable, LeaseLost, Shutdown)
#: The option that says since when a message waits for a circuit.
SINCE = "circuit_since"


class CircuitBreakers(Middleware):
    """Fails closed (P12). What it lets in tells it how it ended, whatever way."""

    @property
    def actor_options(self) -> set[str]:
        return {"circuit_breaker", SINCE}

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> bool:
        """Whether an actor declares one."""
        return declared(actor).circuit_breaker is not None

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        policy = declared(execution.actor).circuit_breaker
        if policy is None:
            return
        name = name_of(held, execution.actor, policy)
        try:
            wait = Circuits(settling.storage).wait(name, execution.token, probe=_longest(execution))
        except ServerUnavailable as error:
            raise GuardUnavailable(f"the circuit could not be asked for, so the actor did not run: {error}") from error
        if not wait:
            held.options.pop(SINCE, None)
            execution.circuit = name
            return
        since = float(held.options.setdefault(SINCE, clock.now()))
        patience = policy.patience
        waited = clock.now() - since
        if patience is not None and waited >= to_seconds(patience, field="CircuitBreaker.patience"):
            held.options.pop(SINCE)  # who is requeued waits anew
            raise CircuitOpen(f"{held.actor_name} waited {waited:,.0f} s for what it calls, which is broken")
        raise HandBack("the circuit is open", delay=wait)

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, settling = of(broker, message)
        execution = held.execution
        if execution is None or execution.circuit is None:
            return
        policy = declared(execution.actor).circuit_breaker
        assert policy is not None
        nothing = isinstance(exception, SAYS_NOTHING) or execution.terminated
        told = "nothing" if nothing else policy.verdict(exception)
        try:
            open_for = Circuits(settling.storage).tell(execution.circuit, execution.token, told, policy)
        except ServerUnavailable as error:
            # The outcome is worth more than what is known of the circuit.
            logger.warning("%s: the circuit could not be told how it ended: %s", held, error)
            return
        if open_for:
            logger.warning("%s: what it calls is broken; it is left alone for %.0f s", held, open_for)

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        held, _ = of(broker, message)
        if held.execution is not None and held.execution.circuit is not None:
            self.after_process_message(broker, message, exception=HandBack("skipped"))


def _longest(execution: Execution) -> float:
    limit = declared(execution.actor).time_limit
    return PROBE if limit is None else limit


def name_of(held: HeldMessage, actor: Actor[Any, Any], policy: CircuitBreaker) -> str:
    """The circuit of a message: its actor's template over the arguments, or the actor's own."""
    if policy.key is None:
        return held.actor_name
    try:
        return policy.render(actor.arguments(held.args, held.kwargs))
    except TypeError:
        return held.actor_name  # the body will fail with the same TypeError, and say it better
