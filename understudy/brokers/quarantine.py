"""An entry that cannot be read becomes a dead letter with its bytes; it stops nobody and keeps nobody waiting."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from understudy.errors import DecodeError
from understudy.exceptions import encode_exception
from understudy.outcome import Outcome
from understudy.states import State

from .settlement import SettlingBroker

logger = logging.getLogger(__name__)


def tell(broker: SettlingBroker, queue_name: str, data: bytes, error: Exception) -> None:
    """Log it without its content, and record FAILURE for whoever waits, if the message's id can be read."""
    logger.error(
        "an entry of queue %s cannot be read (%s, %d bytes); it is a dead letter now",
        queue_name,
        type(error).__name__,
        len(data),
    )
    message_id = _message_id(data)
    if message_id is None:
        return
    outcome = Outcome(state=State.FAILURE)
    failure = DecodeError(f"the message cannot be read by this worker: {error.__cause__ or error}")
    outcome.fields.update(queue=queue_name, exception=encode_exception(failure))
    broker.records.settle(
        message_id,
        outcome,
        token=f"unreadable:{message_id}",
        begun=False,
        scope=message_id,
        claim="-",
        ttl=broker.settings.result_ttl,
    )


def _message_id(data: bytes) -> str | None:
    try:
        fields: Any = msgspec.json.decode(data)
    except ValueError:
        return None
    found = fields.get("message_id") if isinstance(fields, dict) else None
    return found if isinstance(found, str) and found else None
