"""Dramatiq's way to a result, ``message.get_result()``, over the records that ``States`` keeps.

Nothing is stored here: state and result are part of the outcome, committed with the acknowledgement. Dramatiq's
worker looks for its own ``Results`` middleware and warns at every message without it, so it stands in the stack
with this backend.
"""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from dramatiq.results import ResultBackend, ResultFailure, ResultMissing, Results, ResultTimeout

from understudy import errors
from understudy.exceptions import decode_exception
from understudy.handle import handle
from understudy.states import State

#: Milliseconds; Dramatiq's own default.
DEFAULT_TIMEOUT = 10_000


class RecordedResults(ResultBackend):
    """Reads a result by the message's id. ``understudy.handle`` tells more: state, progress, the exception."""

    def get_result(self, message: Message[Any], *, block: bool = False, timeout: int | None = None) -> Any:
        """The result of ``message``; ``timeout`` in milliseconds, as in Dramatiq.

        Raises:
          ResultMissing: there is none (yet), and ``block`` is False.
          ResultTimeout: there is none after ``timeout``.
          ResultFailure: the message failed or was revoked; it carries the exception's type and text.
        """
        found = handle(message)
        if block:
            try:
                found.get(timeout=(DEFAULT_TIMEOUT if timeout is None else timeout) / 1000, propagate=False)
            except errors.ResultTimeout as error:
                raise ResultTimeout(str(error)) from None  # type: ignore[no-untyped-call]
        record = found.read()
        if not record.state.terminal:
            raise ResultMissing(f"{message.message_id} is {record.state}")  # type: ignore[no-untyped-call]
        if record.state is State.SUCCESS:
            return record.value("result")
        exception = decode_exception(record.fields["exception"])
        name = type(exception).__name__
        text = f"actor raised {name}: {exception}"
        raise ResultFailure(text, name, str(exception))  # type: ignore[no-untyped-call]

    def store_result(self, message: Any, result: Any, ttl: int) -> None:
        """Does nothing: the result is part of the outcome."""

    def store_exception(self, message: Any, exception: Exception, ttl: int) -> None:
        """Does nothing: the failure is part of the outcome."""


def recorded_results() -> Results:
    """Dramatiq's middleware over ``RecordedResults``, which has something to do only where it is told to keep none."""
    results = Results(backend=RecordedResults(), store_results=True)  # type: ignore[no-untyped-call]
    concerns = {"concerns": lambda actor: not actor.options.get("store_results", True) or ("store_results",)}
    vars(results).update(concerns)
    return results
