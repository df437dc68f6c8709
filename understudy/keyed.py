"""What has a key over the arguments of an actor, and the two kinds of limits that are kept per key.

A *rate limit* is N in a window of time; a *concurrency limit* is N at once. Both hold for all workers together. A
message over a limit goes back to its queue until it is its turn, and no attempt is burned (docs/explanation/limits.md).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from .choices import choose
from .durations import Duration, to_seconds
from .errors import DeclarationError

#: Where a placeholder goes from a name to an attribute or an index of it.
_NAME_PARTS = re.compile(r"[.\[]")
#: Starts that a window remembers, and places that are looked after, at the most.
MOST_IN_WINDOW, MOST_AT_ONCE = 10_000, 1_000
#: Starts in a second that can be told apart by the server's clock.
FASTEST = 100_000

Kind = Literal["bucket", "window"]


class Keyed:
    """What has a key template over the actor's arguments: ``str.format``, and ``{url!h}`` for where a URL leads."""

    #: What the key is called in errors.
    called: ClassVar[str]
    #: Whether a key may be the same for every message.
    shared: ClassVar[bool] = False
    key: str | None

    def _check_key(self) -> None:
        if self.key is None:
            return
        field = f"{type(self).__name__}.key"
        if not isinstance(self.key, str):
            raise DeclarationError(f"{field} is a text, not {type(self.key).__name__}")
        if not list(_placeholders(self.key, field=field)) and not self.shared:
            raise DeclarationError(
                f"{field} {self.key!r} names no argument, so every message would be a duplicate; "
                "write for example 'welcome:{user_id}'"
            )

    @property
    def placeholders(self) -> frozenset[str]:
        """The argument names that the key template uses."""
        return frozenset() if self.key is None else frozenset(_placeholders(self.key, field="key"))

    def render(self, arguments: Mapping[str, Any]) -> str:
        """The key of a message with these ``arguments`` (name -> value). Needs a ``key``.

        Raises:
          ValueError: the template does not fit the arguments, or they give an empty text.
        """
        try:
            template = self.key or ""
            # It is asked for every message, and Python's own is ten times as fast.
            key = _FORMATTER.vformat(template, (), arguments) if "!h" in template else template.format_map(arguments)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            raise ValueError(f"{self.called} {self.key!r} does not fit the arguments: {text}") from error
        if not key:
            raise ValueError(f"{self.called} {self.key!r} is empty for these arguments")
        return key


@lru_cache(4_096)
def placed(template: str, names: tuple[str, ...]) -> str | None:
    """``template`` with the places of its arguments among ``names`` instead of their names, for ``str.format(*args)``;
    None when that does not say the same."""
    text = ""
    for literal, name, spec, conversion in string.Formatter().parse(template):
        text += literal.replace("{", "{{").replace("}", "}}")
        if name is None:
            continue
        head = _NAME_PARTS.split(name)[0]
        if head not in names or conversion == "h":
            return None
        place = f"{names.index(head)}{name.removeprefix(head)}"
        text += "{" + place + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
    return text


class _Formatter(string.Formatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        return _destination(value) if conversion == "h" else super().convert_field(value, conversion)


_FORMATTER = _Formatter()
_PORTS = {"http": 80, "https": 443}


def _destination(url: object) -> str:
    """The host of a URL, with its port if that is not the usual one; an empty text for what is no URL."""
    try:
        parts = urlsplit(str(url))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return host if port is None or port == _PORTS.get(parts.scheme) else f"{host}:{port}"


def _placeholders(template: str, *, field: str) -> Iterable[str]:
    """The names that ``template`` begins its placeholders with; whatever it may not hold is refused."""
    what = f"{field} {template!r}"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise DeclarationError(f"{what} is not a template: {error}") from None
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if conversion is not None and conversion not in "rsah":
            raise DeclarationError(f"{what} converts by !{conversion}; there are !r, !s, !a, and !h: where a URL leads")
        head = _NAME_PARTS.split(name)[0]
        if not head.isidentifier():
            raise DeclarationError(f"{what} has the placeholder {{{name}}}; name an argument, as in {{user_id}}")
        if "._" in name:
            # What stands behind an underscore is not a value of the argument: {user.__class__.__init__...}
            raise DeclarationError(f"{what} reaches into {{{name}}}; attributes that begin with _ are not allowed")
        if spec and "{" in spec:
            raise DeclarationError(f"{what} has a placeholder within a placeholder")
        yield head


@dataclass(frozen=True)
class RateLimit(Keyed):
    """At most ``limit`` bodies begin within ``per``, in all workers together.

    Args:
      limit: how many.
      per: within how long; a timedelta or seconds.
      key: a template over the actor's arguments (``"smtp:{host}"``; ``{url!h}`` is the host of a URL), or a text that
        is the same for all: whatever has the same key shares the limit, also messages of other actors. When None the
        limit is that of the actor.
        ``send_with_options(rate_limit_key=...)`` overrides it.
      kind: ``"bucket"`` spaces them evenly (L01), with ``burst`` at once after a pause; ``"window"`` lets ``limit`` of
        them begin at any time, as long as no window of ``per`` has more.
      burst: how many may begin at once after a pause; for ``"bucket"`` only.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    called: ClassVar[str] = "rate limit key"
    shared: ClassVar[bool] = True
    limit: int
    per: Duration = 1
    _: KW_ONLY
    key: str | None = None
    kind: Kind = "bucket"
    burst: int = 1

    def __post_init__(self) -> None:
        _check_count(self.limit, field="RateLimit.limit")
        _check_count(self.burst, field="RateLimit.burst")
        seconds = to_seconds(self.per, field="RateLimit.per")
        choose(self.kind, ("bucket", "window"), field="RateLimit.kind")
        if self.limit / seconds > FASTEST:
            raise DeclarationError(f"RateLimit of {self.limit / seconds:,.0f} a second is none: at most {FASTEST:,}")
        if self.kind == "window" and self.burst != 1:
            raise DeclarationError(
                'RateLimit.burst belongs to kind="bucket"; a window lets all of its limit begin at once'
            )
        if self.kind == "window" and self.limit > MOST_IN_WINDOW:
            raise DeclarationError(
                f"RateLimit.limit of a window is at most {MOST_IN_WINDOW:,}, because every start is remembered; write "
                f'kind="bucket", burst={self.limit}'
            )
        self._check_key()

    @property
    def seconds(self) -> float:
        """``per`` in seconds."""
        return to_seconds(self.per, field="RateLimit.per")


@dataclass(frozen=True)
class ConcurrencyLimit(Keyed):
    """At most ``limit`` bodies run at once, in all workers together.

    Args:
      limit: how many.
      key: as that of ``RateLimit``; ``send_with_options(concurrency_limit_key=...)`` overrides it.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    called: ClassVar[str] = "concurrency limit key"
    shared: ClassVar[bool] = True
    limit: int
    _: KW_ONLY
    key: str | None = None

    def __post_init__(self) -> None:
        _check_count(self.limit, field="ConcurrencyLimit.limit")
        if self.limit > MOST_AT_ONCE:
            raise DeclarationError(f"ConcurrencyLimit.limit is at most {MOST_AT_ONCE:,}, not {self.limit:,}")
        self._check_key()


def _check_count(value: object, *, field: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DeclarationError(f"{field} is a whole number from 1, not {value!r}")
