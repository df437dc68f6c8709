"""Exceptions as they are stored in a record and rebuilt by a reader (S06, S07, S08).

No constructor of a user's class is called: it may not take the exception's arguments (S07), may format a message
that is formatted already, or may do something. What is stored is what pickle would store: the arguments (in place
of such as cannot travel, the text) and the attributes that can travel. One rule keeps the copy honest: it counts
only when it reads as the original did; else the reader gets a ``RemoteError`` with the class's name and that text.

What is no ``Exception`` (``SystemExit``, ``KeyboardInterrupt`` and the like) is never rebuilt: raised by ``get()``
it would stop the reader.
"""

from __future__ import annotations

import traceback
from types import WrapperDescriptorType
from typing import Any

from . import serialization
from .errors import DecodeError, RemoteError, SerializationError, TimeLimitExceeded

#: Longer traceback texts keep their beginning and their end: what was called, and where it broke.
MAX_TRACEBACK = 16_384
#: Arguments and attributes that are larger, encoded, are left out.
MAX_DETAILS = 65_536
MAX_TEXT = 4_096
#: Groups of more members, or with groups in them deeper than that, are kept as text only.
MAX_MEMBERS, MAX_LEVELS = 50, 3

#: Dramatiq's classes that a reader could not catch with ``except Exception``, and what stands for them.
_FOR_READERS = {"dramatiq.middleware.time_limit:TimeLimitExceeded": TimeLimitExceeded}


def encode_exception(exception: BaseException) -> bytes:
    """The class's name, its text, and its arguments and attributes where they can travel."""
    return serialization.dumps(_described(exception, MAX_LEVELS, MAX_DETAILS))


def decode_exception(data: bytes) -> Exception:
    """The original exception; a ``RemoteError`` when it cannot be rebuilt as it was.

    Raises:
      DecodeError: when ``data`` is not what ``encode_exception`` writes.
    """
    record = serialization.loads(data)
    try:
        return _rebuilt(record)
    except (AttributeError, KeyError, TypeError) as error:
        raise DecodeError(f"not an exception that Understudy wrote: {error!r}") from error


class RemoteTraceback(Exception):
    """Carries the traceback of an exception that was raised in another process, as text; ``discreet`` without the
    texts of exceptions, for log lines."""

    def __init__(self, text: str, discreet: str = "") -> None:
        super().__init__(text)
        self.discreet = discreet

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def format_traceback(exception: BaseException) -> str:
    """The traceback as text, bounded to about ``MAX_TRACEBACK`` characters. That of the process where the exception was
    raised, if it was another one."""
    remote = _origin(exception).__context__
    raw = remote.args[0] if isinstance(remote, RemoteTraceback) else "".join(traceback.format_exception(exception))
    text = _writable(raw)
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    return f"{text[:half]}\n  ... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def remember_traceback(exception: BaseException, text: str, *, discreet: str = "") -> None:
    """Let ``text`` be the traceback of ``exception``, which was raised in another process; ``discreet`` is what of it
    may be logged."""
    origin = _origin(exception)
    origin.__context__ = RemoteTraceback(text, discreet)
    origin.__suppress_context__ = False


def _origin(exception: BaseException) -> BaseException:
    """The exception at the end of the causes."""
    seen: set[int] = set()
    while exception.__cause__ is not None and id(exception) not in seen:
        seen.add(id(exception))
        exception = exception.__cause__
    return exception


def state_of(exception: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and the attributes, as the built-in base class gives them to pickle."""
    try:
        base: Any = _builtin_base(type(exception))
        _, args, *rest = base.__reduce__(exception)
        return tuple(args), rest[0] if rest and isinstance(rest[0], dict) else {}
    except Exception:  # noqa: BLE001 - a C extension may refuse
        return exception.args, vars(exception)


def copy_of(
    kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any], *, text: str
) -> BaseException | None:
    """An exception of class ``kind`` that reads ``text``, made without a call of the class's own constructor; None when
    that is not possible."""
    for call_init in (True, False):
        try:
            copy = _copied(kind, args, attributes, call_init=call_init)
            if text_of(copy) == text:
                return copy
        except Exception:  # noqa: BLE001 - a class may resist in any way
            continue
    return None


# -- encoding ------------------------------------------------------------------------------------------------


def _described(exception: BaseException, levels: int, limit: int) -> dict[str, Any]:
    kind = type(exception)
    record: dict[str, Any] = {"type": f"{kind.__module__}:{kind.__qualname__}", "text": text_of(exception)}
    if isinstance(exception, RemoteError):
        # Under the name of the original: another reader may know it.
        record.update(type=exception.written, text=_shortened(exception.message))
    if isinstance(exception, BaseExceptionGroup):
        members = exception.exceptions
        if levels and len(members) <= MAX_MEMBERS:
            record["message"] = _shortened(exception.message)
            record["members"] = [_described(member, levels - 1, limit // len(members)) for member in members]
        return record
    args, attributes = _state_of(exception)
    if isinstance(exception, RemoteError):
        args, attributes = [_kept(arg) for arg in exception.exc_args], {}
    details: dict[str, Any] = {"attributes": {name: v for name, v in attributes.items() if _can_travel(v)}}
    if _can_travel(args):
        details["args"] = args
    if len(serialization.dumps(details)) <= limit:
        record.update(details)
    return record


def _state_of(exception: BaseException) -> tuple[list[Any], dict[str, Any]]:
    """What the built-in base class would give to pickle; tuples kept as such, so that texts stay the same."""
    args, attributes = state_of(exception)
    return [_kept(arg) for arg in args], {str(name): _kept(value) for name, value in attributes.items()}


def _kept(value: Any, depth: int = 0) -> Any:
    if depth > serialization.MAX_DEPTH:
        return value
    if type(value) is tuple:
        return serialization.KeptTuple(_kept(item, depth + 1) for item in value)
    if type(value) is list:
        return [_kept(item, depth + 1) for item in value]
    if type(value) is dict:
        return {name: _kept(item, depth + 1) for name, item in value.items()}
    return value


def _can_travel(value: Any) -> bool:
    try:
        serialization.to_wire(value)
    except SerializationError:
        return False
    return True


def text_of(exception: BaseException) -> str:
    """What ``str()`` of it gives, shortened; never raises."""
    try:
        text = str(exception)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything; the failure is recorded all the same
        text = f"<str() of it raised {type(error).__name__}>"
    return _shortened(text)


def _shortened(text: str) -> str:
    written = _writable(text[: MAX_TEXT + 1])
    return written if len(written) <= MAX_TEXT else written[: MAX_TEXT - 4] + " ..."


def _writable(text: str) -> str:
    """``text`` without lone surrogates, which no server takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


# -- decoding ------------------------------------------------------------------------------------------------


def _rebuilt(record: dict[str, Any]) -> Exception:
    name: str = record["type"]
    text: str = record["text"]
    stand_in = RemoteError(name, text, tuple(record.get("args", ())))
    if name in _FOR_READERS:
        return _FOR_READERS[name](text or "the body was stopped at its time limit")
    kind = serialization.find_class(name)
    if kind is None or not issubclass(kind, Exception):
        return stand_in
    args = tuple(record.get("args", (text,)))
    attributes = record.get("attributes", {})
    if "members" in record:
        args = (record["message"], [_rebuilt(member) for member in record["members"]])
    copy = copy_of(kind, args, attributes, text=text)
    return copy if isinstance(copy, Exception) else stand_in


def _copied(
    kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any], *, call_init: bool
) -> BaseException:
    """A copy made by the built-in base class alone. Its ``__init__`` sets what C keeps (``errno`` and the like),
    unless the class never called it."""
    base: Any = _builtin_base(kind)
    copy: BaseException = base.__new__(kind, *args)
    if call_init:
        base.__init__(copy, *args)
    else:
        copy.args = args
    if attributes:
        base.__setstate__(copy, attributes)
    return copy


def _builtin_base(kind: type[BaseException]) -> type[BaseException]:
    return next(base for base in kind.__mro__ if isinstance(vars(base).get("__init__"), WrapperDescriptorType))
