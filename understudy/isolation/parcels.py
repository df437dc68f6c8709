"""Exceptions on their way from one process to the other: the class, its state, its causes, and the traceback as text.

No constructor of a user's class is called (see ``understudy.exceptions``). What cannot travel in an attribute is left
out; an exception whose class the other side cannot find, or that would read differently there, arrives as a
``RemoteError``.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

from understudy import discretion, exceptions
from understudy.errors import RemoteError

#: Causes of causes deeper than that stay in the traceback only.
DEPTH = 5


@dataclass
class Parcel:
    """An exception. ``kind``, ``args`` and ``attributes`` are pickles; ``described`` is what a record would hold."""

    name: str
    text: str
    kind: bytes = b""
    args: bytes = b""
    attributes: dict[str, bytes] = field(default_factory=dict)
    described: bytes = b""
    cause: Parcel | None = None
    traceback: str = ""
    #: Without the texts of exceptions, for log lines.
    discreet: str = ""


def pack(exception: BaseException, *, traceback: bool = True) -> Parcel:
    """``exception`` as a parcel. Never raises."""
    parcel = _packed(exception, DEPTH)
    if traceback:
        parcel.traceback = exceptions.format_traceback(exception)
        parcel.discreet = discretion.trace(exception)
    return parcel


def unpack(parcel: Parcel) -> BaseException:
    """The exception, or a ``RemoteError`` in its place."""
    exception = _unpacked(parcel)
    if parcel.traceback:
        exceptions.remember_traceback(exception, parcel.traceback, discreet=parcel.discreet)
    return exception


def _packed(exception: BaseException, depth: int) -> Parcel:
    kind = type(exception)
    parcel = Parcel(f"{kind.__module__}:{kind.__qualname__}", exceptions.text_of(exception))
    if exception.__cause__ is not None and depth:
        parcel.cause = _packed(exception.__cause__, depth - 1)
    if isinstance(exception, BaseExceptionGroup):
        parcel.described = exceptions.encode_exception(exception)  # its members would be pickled by their constructors
        return parcel
    args, attributes = exceptions.state_of(exception)
    parcel.kind = _pickled(kind)
    parcel.args = _pickled(args)
    parcel.attributes = {name: data for name, value in attributes.items() if (data := _pickled(value))}
    if not (parcel.kind and parcel.args):
        parcel.described = exceptions.encode_exception(exception)
    return parcel


def _pickled(value: Any) -> bytes:
    """Empty when it cannot be."""
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - pickle raises whatever the value's own methods raise
        return b""


def _unpacked(parcel: Parcel) -> BaseException:
    exception = _rebuilt(parcel)
    if exception is None and parcel.described:
        exception = exceptions.decode_exception(parcel.described)
    if exception is None:
        exception = RemoteError(parcel.name, parcel.text)
    if parcel.cause is not None:
        exception.__cause__ = _unpacked(parcel.cause)
    return exception


def _rebuilt(parcel: Parcel) -> BaseException | None:
    if not (parcel.kind and parcel.args):
        return None
    try:
        kind, args = pickle.loads(parcel.kind), pickle.loads(parcel.args)
    except Exception:  # noqa: BLE001 - this process may know less than the other
        return None
    attributes = {}
    for name, data in parcel.attributes.items():
        try:
            attributes[name] = pickle.loads(data)
        except Exception:  # noqa: BLE001 - as above; the rest is still worth having
            continue
    return exceptions.copy_of(kind, args, attributes, text=parcel.text)
