"""Tells somebody of failures that the actor's table of errors says to tell (``understudy/handling.py``).

Once per message, when its failure is committed; and once per cause and time, by all workers together: ten thousand
failures of one cause are one alert, and the next one says how many more there were. A process that has just learnt that
a cause is known asks no more for that long, so a flood costs nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import dramatiq
from dramatiq import Broker, Message, Middleware

from understudy import clock
from understudy.actors import declared
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.callbacks import message_of
from understudy.discretion import class_of
from understudy.durations import to_millis, to_seconds
from understudy.errors import ServerUnavailable
from understudy.exceptions import decode_exception
from understudy.handling import Alert
from understudy.outcome import Disposition
from understudy.states import State

logger = logging.getLogger(__name__)


@dataclass
class _Known:
    """A cause that was told a while ago: until when nobody is asked, and how many failures came since."""

    until: float
    more: int = 0


class Alerts(Middleware):
    """Anywhere in the stack: it acts when all is committed."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    @property
    def actor_options(self) -> set[str]:
        return {"errors"}

    def after_commit(self, broker: Broker, message: Any) -> None:
        if isinstance(message, HeldMessage) and message.outcome.state is State.FAILURE:
            actor = broker.actors.get(message.actor_name)
            encoded: Any = message.outcome.fields.get("exception")
            if actor is None or declared(actor).errors is None or not encoded:
                return
            failure = message.execution.failure if message.execution is not None else None
            # A record may make a stand-in of it, which no rule knows. A hook that raised is in the record only.
            if failure is None or message.outcome.disposition is Disposition.DEAD:
                failure = decode_exception(bytes(encoded))
            self._tell(broker, actor, message, failure, message.retries + 1)

    def after_bury(self, broker: Broker, message: Message[Any], error: Exception) -> None:
        """A message that nobody works on has failed: poison."""
        actor = broker.actors.get(message.actor_name)
        if actor is not None:
            self._tell(broker, actor, message, error, int(message.options.get("retries") or 0) + 1)

    def _tell(
        self, broker: Broker, actor: dramatiq.Actor[Any, Any], message: Any, failure: BaseException, attempts: int
    ) -> None:
        errors = declared(actor).errors
        if errors is None or not isinstance(broker, SettlingBroker):
            return
        if errors.verdict(failure) not in ("alert", "retry, then alert"):
            return
        name = class_of(failure)
        more = self._ask(broker, f"{quote(actor.actor_name, safe='')}:{name}", errors.alert)
        if more is None:
            return
        alert = {
            "actor": actor.actor_name,
            "queue": message.queue_name,
            "message_id": message.message_id,
            "error": name,
            "attempts": attempts,
            "more": more,
            "every": to_seconds(errors.alert.every, field="Alert.every"),
        }
        logger.critical(
            "%s failed for good with %s after %d attempts; %d more failures of this kind were not told",
            message if isinstance(message, HeldMessage) else f"{actor.actor_name}[{message.message_id}]",
            name,
            attempts,
            more,
            extra={"alert": alert},
        )
        if errors.alert.target is not None:
            self._send(broker, errors.alert, alert)

    def _ask(self, broker: SettlingBroker, cause: str, alert: Alert) -> int | None:
        """How many failures of ``cause`` were not told since the last time; None when this one is not told either."""
        storage, every = broker.storage, to_seconds(alert.every, field="Alert.every")
        key = storage.keys.alert(cause)
        with self._lock:
            known = self._known.get(key)
            if known is not None and clock.monotonic() < known.until:
                known.more += 1
                return None
            more = 0 if known is None else known.more
            try:
                told, millis, more = storage.run(
                    "alert", [storage.keys.clock, key], [uuid.uuid4().hex, to_millis(every), more]
                )
            except ServerUnavailable:
                told, millis = 1, to_millis(every)  # rather told by each process than by none
            self._known[key] = _Known(clock.monotonic() + millis / 1000)
        return int(more) if told else None

    def _send(self, broker: SettlingBroker, alert: Alert, told: dict[str, Any]) -> None:
        target = alert.target
        assert target is not None
        try:
            queue = None
            if isinstance(target, str):
                known = broker.actors.get(target)
                queue = broker.records.announced_queue(target) if known is None else known.queue_name
                if queue is None:
                    raise LookupError(target)
            message = message_of(target, queue)
            broker.enqueue(dataclasses.replace(message, args=(told, *message.args)))
        except Exception as error:  # noqa: BLE001 - the line is written; the message is committed
            logger.error("the alert could not be sent: %s", error)
