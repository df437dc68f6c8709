"""When an exception says by itself how long to wait before the next attempt.

HTTP servers say so in ``Retry-After``, and the clients keep the response on what they raise. Looked at are, of the
exception and of its causes:

- ``retry_after``: seconds, a ``timedelta``, or a datetime that knows its zone;
- the members of a group, the longest wait of which counts;
- the header ``Retry-After`` in ``response.headers`` or ``headers``: seconds, or a date.

What cannot be read says nothing: it comes from outside, and a retry must not fail on it.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from . import clock

#: Causes of causes deeper than that are not asked.
DEPTH = 5


def told_wait(exception: BaseException) -> float | None:
    """The seconds that ``exception`` says to wait from now, zero at the least; None when it says nothing."""
    error: BaseException | None = exception
    for _ in range(DEPTH):
        if error is None:
            break
        try:
            found = _of(error)
        except Exception:  # noqa: BLE001 - attributes of other people's classes may raise anything
            found = None
        if found is not None:
            return found
        error = error.__cause__
    return None


def _of(error: BaseException) -> float | None:
    if isinstance(error, BaseExceptionGroup):
        return max((wait for member in error.exceptions if (wait := told_wait(member)) is not None), default=None)
    found = _seconds(getattr(error, "retry_after", None))
    for source in (getattr(error, "response", None), error):
        headers = getattr(source, "headers", None)
        if found is None and headers is not None:
            found = _seconds(_header(headers))
    return found


def _header(headers: Any) -> Any:
    # Most clients' headers do not care how a name is written; a plain dict does.
    value = headers.get("Retry-After")
    return headers.get("retry-after") if value is None else value


def _seconds(value: object) -> float | None:
    if isinstance(value, bytes):
        value = value.decode("ascii")
    if isinstance(value, str):
        value = value.strip()
        value = float(value) if value.isdecimal() else parsedate_to_datetime(value)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    elif isinstance(value, datetime):
        value = None if value.tzinfo is None else value.timestamp() - clock.now()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return max(0.0, float(value))
