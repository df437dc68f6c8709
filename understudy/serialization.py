"""What travels in messages and results: JSON with a few tagged types, never pickle.

Plain JSON values travel as they are. These survive as well: ``datetime``, ``date``, ``time``, ``timedelta``,
``UUID``, ``Decimal``, ``bytes``, integers of any size, infinities and NaN, and *records*: dataclasses,
``msgspec.Struct`` and pydantic models that stand at the top of an importable module. As in Celery (S22) a
tuple comes back as a list and an integer key as a string; a time zone comes back as its offset, and a subclass of
text, number or list as what it is a subclass of. Everything else is refused where it is sent, with the path of the
offending value.

A tagged value is ``{"$": tag, "v": value}``; a user's own mapping that has a key ``"$"`` is tagged itself, so
nothing that a user sends can be mistaken for a tag. A record names its class; the reader rebuilds it through its
constructor, and only when ``find_class`` finds such a class there, else it reads a plain dictionary.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec
import pydantic

from .errors import DecodeError, SerializationError

#: Deeper nesting is refused: it is nearly always a value that contains itself.
MAX_DEPTH = 100
_INT64 = 2**63
#: Travel as they are, whatever their value.
_PLAIN = frozenset({NoneType, bool})

_Writer = Callable[[Any, int], Any]


class KeptTuple(list[Any]):
    """A tuple that is to come back as one."""


def dumps(value: Any, *, root: str = "value") -> bytes:
    """Encode ``value``. ``root`` names it in error messages.

    Raises:
      SerializationError: names the path and the type of the first value that cannot travel.
    """
    return msgspec.json.encode(value if type(value) in _PLAIN else to_wire(value, root=root))


def to_wire(value: Any, *, root: str = "value") -> Any:
    """``value`` as plain JSON values; see ``dumps``."""
    try:
        return _to_wire(value, 0)
    except _Refused as refused:
        path = refused.path[::-1]
        shown = path if len(path) < MAX_DEPTH else path[:8]
        raise SerializationError(path_text((root, *shown)), refused.reason) from None


def loads(data: bytes | str) -> Any:
    """Decode what ``dumps`` wrote.

    Raises:
      DecodeError: when ``data`` is not such bytes. No other error, whatever the bytes are.
    """
    try:
        plain = msgspec.json.decode(data)
        # Most values carry no tag, and then nothing is left to be done.
        return _from_wire(plain) if (b'"$"' if isinstance(data, bytes) else '"$"') in data else plain  # type: ignore[operator]
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(f"not a value that Understudy wrote: {error}") from error


def path_text(path: tuple[str | int, ...]) -> str:
    """``("args", 0, "email")`` as ``args[0]['email']``."""
    head, *rest = path
    return str(head) + "".join(f"[{part!r}]" for part in rest)


# -- encoding ------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """On its way out every container adds where it was: a path costs nothing unless it is needed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str | int] = []


def _to_wire(value: Any, depth: int) -> Any:
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        writer = (
            _record if kind in _PLANS else next((_WRITERS[base] for base in kind.__mro__ if base in _WRITERS), _record)
        )
    return writer(value, depth)


def _same(value: Any, depth: int) -> Any:
    return value


def _text(value: str, depth: int = 0) -> str:
    if value.isascii():
        return str.__str__(value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _Refused("is text with a lone surrogate, which cannot be written as UTF-8") from None
    return str.__str__(value)


def _int(value: int, depth: int) -> Any:
    number = int.__int__(value)
    # Beyond 64 bits JSON readers differ. Hexadecimal, because Python bounds the length of decimal texts.
    return number if -_INT64 <= number < _INT64 else _tag("int", format(number, "x"))


def _float(value: float, depth: int) -> Any:
    number = float.__float__(value)
    return number if math.isfinite(number) else _tag("float", repr(number))


def _list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    _check_depth(depth)
    out: list[Any] = []
    try:
        for item in value:
            out.append(item if type(item) in _PLAIN else _to_wire(item, depth + 1))
    except _Refused as refused:
        refused.path.append(len(out))
        raise
    return out


def _mapping(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    _check_depth(depth)
    out: dict[str, Any] = {}
    for key, item in value.items():
        name = key if type(key) is str and key.isascii() else _key(key)
        if name in out:
            raise _Refused(f"has both the text and the number {name} as keys; they would become one")
        kind = type(item)
        if kind in _PLAIN or (kind is int and -_INT64 <= item < _INT64):  # as most are, and it saves two calls
            out[name] = item
            continue
        try:
            out[name] = _to_wire(item, depth + 1)
        except _Refused as refused:
            refused.path.append(name)
            raise
    return _tag("map", out) if "$" in out else out


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _text(key)
    if isinstance(key, int) and not isinstance(key, bool):
        try:
            return str(int.__int__(key))
        except ValueError:
            raise _Refused("has a whole number of thousands of digits as a key") from None
    raise _Refused(f"has a key of type {type(key).__name__}; keys are text or whole numbers")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _Refused(f"is nested more than {MAX_DEPTH} levels deep, or contains itself")


def _moment(value: datetime | time, depth: int) -> dict[str, Any]:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise _Refused("is a time of day in a zone whose offset depends on the date; send a datetime")
    name = "datetime" if isinstance(value, _DATETIME) else "time"
    offset = value.utcoffset()
    if offset and abs(offset) < _SECOND:
        # fromisoformat reads such an offset as none.
        return _tag(name, [value.replace(tzinfo=None).isoformat(), offset // _MICROSECOND])
    return _tag(name, value.isoformat())


def _moment_reader(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    def moment(value: Any) -> Any:
        if type(value) is str:
            return read(value)
        text, micros = value
        return read(text).replace(tzinfo=timezone(micros * _MICROSECOND))

    return moment


def _tag(name: str, value: Any) -> dict[str, Any]:
    return {"$": name, "v": value}


_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
#: The class itself: freezegun replaces the module's name for it while time is frozen.
_DATETIME = datetime
#: Found by the exact type, else by the nearest base class.
_WRITERS: dict[type, _Writer] = {
    NoneType: _same,
    bool: _same,
    str: _text,
    int: _int,
    float: _float,
    list: _list,
    tuple: _list,
    dict: _mapping,
    datetime: _moment,
    time: _moment,
    date: lambda value, _: _tag("date", value.isoformat()),
    timedelta: lambda value, _: _tag("timedelta", [value.days, value.seconds, value.microseconds]),
    UUID: lambda value, _: _tag("uuid", str(value)),
    Decimal: lambda value, _: _tag("decimal", str(value)),
    bytes: lambda value, _: _tag("bytes", value),  # msgspec writes bytes as base64
    bytearray: lambda value, _: _tag("bytes", bytes(value)),
    KeptTuple: lambda value, depth: _tag("tuple", _list(value, depth)),
}


# -- records -------------------------------------------------------------------------------------------------

#: Of every class of records met so far: its name on the wire and the fields that travel.
_PLANS: dict[type, tuple[str, tuple[str, ...]]] = {}


def _record(value: Any, depth: int) -> dict[str, Any]:
    _check_depth(depth)
    kind = type(value)
    plan = _PLANS.get(kind)
    if plan is None:
        plan = _PLANS[kind] = _planned(kind)
    name, fields = plan
    wire: dict[str, Any] = {}
    extra = getattr(value, "__pydantic_extra__", None) or {}
    for field in (*fields, *extra):
        try:
            wire[field] = _to_wire(getattr(value, field), depth + 1)
        except AttributeError as error:
            raise _Refused(f"is a {_name_of(kind)} without a value for {field!r}: {error}") from None
        except _Refused as refused:
            refused.path.append(field)
            raise
    return {"$": "record", "t": name, "v": wire}


def _planned(kind: type) -> tuple[str, tuple[str, ...]]:
    if issubclass(kind, pydantic.BaseModel):
        fields = tuple(kind.model_fields)
    elif issubclass(kind, msgspec.Struct):
        fields = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        fields = tuple(field.name for field in dataclasses.fields(kind) if field.init)
        _check_constructor(kind, fields)
    else:
        raise _Refused(f"is a {_name_of(kind)}, which cannot travel; {_instead_of(kind)}")
    name = f"{kind.__module__}:{kind.__qualname__}"
    if find_class(name) is not kind:
        raise _Refused(f"is a {_name_of(kind)}, which a reader cannot import; define it at the top of a module")
    return name, fields


def _check_constructor(kind: type, fields: tuple[str, ...]) -> None:
    """A dataclass travels as the fields that its constructor takes by name."""
    parameters = inspect.signature(kind).parameters.values()
    taken = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    needed = {p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    wrong = sorted(needed - set(fields)) + ([] if anything else sorted(set(fields) - taken))
    if wrong:
        raise _Refused(
            f"is a {_name_of(kind)}, which cannot be rebuilt from its fields ({', '.join(wrong)}); send plain values"
        )


def _instead_of(kind: type) -> str:
    if issubclass(kind, Enum):
        return "send its .value"
    if issubclass(kind, set | frozenset):
        return "send a sorted list"
    return "send plain values, or a dataclass"


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


#: Of the standard library: define exceptions that actors raise, and do nothing else when they are imported.
_HARMLESS = frozenset(
    (
        "asyncio",
        "binascii",
        "concurrent",
        "configparser",
        "csv",
        "decimal",
        "email",
        "ftplib",
        "gzip",
        "http",
        "imaplib",
        "json",
        "lzma",
        "poplib",
        "queue",
        "shutil",
        "smtplib",
        "socket",
        "sqlite3",
        "ssl",
        "struct",
        "subprocess",
        "tarfile",
        "urllib",
        "xml",
        "zipfile",
        "zlib",
    )
)


def find_class(name: str) -> type | None:
    """The class called ``module:Qualified.Name``, or None when this process does not know it.

    Only packages that the process has imported are looked into, and some of the standard library; a module of such a
    package is imported if need be. So data from the server cannot make a process load code that its own program does
    not consist of. (Whoever can write to the server can send any message to any actor; he shall not gain more than
    that in a mere reader.)
    """
    module_name, _, qualname = name.partition(":")
    package, *inner = module_name.split(".")
    parts = qualname.split(".")
    known = package in sys.modules or package in _HARMLESS
    if not known or "__main__" in (package, *inner) or not all(map(str.isidentifier, parts)):
        return None
    try:
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        for part in parts:
            found = getattr(found, part)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a module raises at import, its class is not to be had
        return None
    return found if isinstance(found, type) else None


# -- decoding ------------------------------------------------------------------------------------------------


def _from_wire(wire: Any) -> Any:
    if type(wire) is list:
        return [_from_wire(item) if type(item) in _CONTAINERS else item for item in wire]
    if type(wire) is not dict:
        return wire
    if "$" not in wire:
        return _values(wire)
    tag = wire["$"]
    if tag == "map":
        return _values(wire["v"])
    if tag == "record":
        return _rebuild(wire["t"], _values(wire["v"]))
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise DecodeError(f"unknown tag {tag!r}; it was written by a newer version")
    return decoder(wire["v"])


def _values(wire: dict[str, Any]) -> dict[str, Any]:
    return {name: _from_wire(item) if type(item) in _CONTAINERS else item for name, item in wire.items()}


_CONTAINERS = frozenset({dict, list})
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "datetime": _moment_reader(datetime.fromisoformat),
    "date": date.fromisoformat,
    "time": _moment_reader(time.fromisoformat),
    "timedelta": lambda value: timedelta(days=value[0], seconds=value[1], microseconds=value[2]),
    "uuid": UUID,
    "decimal": Decimal,
    "bytes": lambda value: msgspec.convert(value, bytes),
    "int": lambda value: int(value, 16),
    "float": float,
    "tuple": lambda value: tuple(_from_wire(value)),
}


def _rebuild(name: str, fields: dict[str, Any]) -> Any:
    kind: Any = find_class(name)
    try:
        if kind is None:
            return fields
        if issubclass(kind, pydantic.RootModel):
            return kind.model_validate(fields["root"])
        if issubclass(kind, pydantic.BaseModel):
            return kind.model_validate(fields, by_name=True)
        if issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind):
            return kind(**fields)
    except Exception:  # noqa: BLE001 - a constructor may raise anything
        # The class has changed since the message was sent (a rolling deploy): the values still arrive.
        return fields
    return fields
