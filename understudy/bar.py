"""What a progress bar shows: values that do not go back, and how fast they grow."""

from __future__ import annotations

from typing import Any

import msgspec

from . import serialization

#: Seconds over which the rate is measured, at the least, once so many have passed.
SPAN = 10.0

_NUMBERS, _SMALL = frozenset({"current", "total"}), 2**53


def encoded(values: dict[str, Any]) -> bytes:
    """Progress as it is recorded.

    Raises:
      SerializationError: names the value that cannot travel.
    """
    # Nearly always there are two numbers, which travel as they are, and thousands of bodies a second say them.
    if len(values) == 2:
        current, total = values.get("current"), values.get("total")
        if type(current) is int and type(total) is int and -_SMALL < current < _SMALL and -_SMALL < total < _SMALL:
            return b'{"current":%d,"total":%d}' % (current, total)
    for name, value in values.items():
        if type(value) is not int or not -_SMALL < value < _SMALL or name not in _NUMBERS:
            return serialization.dumps(values, root="progress")
    return msgspec.json.encode(values)


class Bar:
    """What the body of one execution has said."""

    # Both are replaced, never changed, so that few bars need any of their own.
    _values: dict[str, Any] = {}  # noqa: RUF012
    _info: dict[str, Any] = {}  # noqa: RUF012

    @property
    def says_nothing(self) -> bool:
        """Whether nothing was said in this execution."""
        return not self._values

    def update(self, current: float | None, total: float | None, info: dict[str, Any]) -> dict[str, Any]:
        """Set the values; returns what is shown. What is None is left out."""
        before = self._values
        if current and total == before.get("total") and (before.get("current") or 0) > current:
            current = before["current"]
        self._values = {}
        if current is not None:
            self._values["current"] = current
        if total is not None:
            self._values["total"] = total
        self._info = info
        return {**self._values, **info}

    def advance(self, n: float) -> dict[str, Any]:
        """Add to ``current`` and leave the rest; returns what is shown."""
        self._values = {**self._values, "current": self._values.get("current", 0) + n}
        return {**self._values, **self._info}

    def go_on_from(self, shown: dict[str, Any]) -> None:
        """Begin where another execution came to, if this one said nothing yet."""
        numbers = {name: shown[name] for name in ("current", "total") if isinstance(shown.get(name), int | float)}
        self._values = self._values or {"current": 0, **numbers}


class Pace:
    """How much is done in a second: on the average of the last ``SPAN`` to two times ``SPAN`` seconds."""

    # Few bodies last so long that anything is measured.
    _older: tuple[float, float] | None = None
    _newer = (0.0, 0.0)
    _last = 0.0

    def at(self, seconds: float, current: object) -> float | None:
        """Take what was done at a time by the clock that measures; the rate, or None while it is not known."""
        if not isinstance(current, int | float):
            return None
        point, before = (seconds, float(current)), self._last
        self._last = point[1]
        if self._older is None or point[1] < before:
            self._older = self._newer = point
            return None
        if seconds - self._newer[0] >= SPAN:
            self._older, self._newer = self._newer, point
        passed = seconds - self._older[0]
        return (point[1] - self._older[1]) / passed if passed > 0 else None


def seconds_left(info: object, rate: float | None) -> float | None:
    """How long what is left takes at ``rate``; None while that is not known."""
    current, total = (info.get("current"), info.get("total")) if isinstance(info, dict) else (None, None)
    if not rate or not isinstance(current, int | float) or not isinstance(total, int | float):
        return None
    return max(0.0, (total - current) / rate)
