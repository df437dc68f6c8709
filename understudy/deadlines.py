"""Times that a sender gives: not before (``delay``, ``eta``), and not after (``expires``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from . import clock
from .callbacks import convert_callbacks
from .durations import to_millis, to_seconds
from .errors import DeclarationError


def seconds_until(moment: object, *, field: str) -> float:
    """Seconds from now until ``moment``, a datetime that knows its zone; less than zero when it is over.

    Raises:
      DeclarationError: it is none, or does not know its zone. It is a ``TypeError``.
    """
    if not isinstance(moment, datetime):
        raise DeclarationError(f"{field} is a datetime, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise DeclarationError(f"{field} {moment.isoformat()} does not say in which zone it is; give it a tzinfo")
    return moment.timestamp() - clock.now()


def millis_until(eta: object, *, delay: object, where: str = "") -> int | None:
    """The delay that ``eta`` means; None when it is None. In the past it means at once (E05).

    Raises:
      DeclarationError: it is wrong, or there is a delay as well.
    """
    if eta is None:
        return None
    if delay is not None:
        raise DeclarationError(f"{where}delay and eta both say when the message may run; give one of them")
    return to_millis(max(0.0, seconds_until(eta, field=f"{where}eta")))


def convert_expiry(options: dict[str, Any], *, where: str = "") -> None:
    """Turn ``expires`` (a timedelta, seconds, or for a message an aware datetime) into what travels: milliseconds under
    the same name, or seconds since the epoch under ``expires_at``.

    Raises:
      DeclarationError: it is none of these.
    """
    given = options.pop("expires", None)
    field = f"{where}expires"
    if isinstance(given, datetime):
        options["expires_at"] = clock.now() + seconds_until(given, field=field)
    elif given is not None:
        if isinstance(given, bool) or not isinstance(given, int | float | timedelta):
            raise DeclarationError(
                f"{field} is a timedelta, a number of seconds or a datetime with a zone, not {type(given).__name__}"
            )
        options["expires"] = to_millis(to_seconds(given, field=field))


def declared_options(options: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The options of a declaration that Dramatiq's and our middleware read as they travel.

    Raises:
      DeclarationError: names the one that is wrong.
    """
    found = dict(options)
    if isinstance(found.get("expires"), datetime):
        raise DeclarationError(f"{where}expires is how long a message is worth running, not until when")
    convert_expiry(found, where=where)
    convert_callbacks(found, where=where)
    throws = found.get("throws")
    if throws is not None:
        kinds = throws if isinstance(throws, tuple) else (throws,)
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise DeclarationError(f"{where}throws takes exception classes, not {kind!r}")
        found["throws"] = kinds
    return found
