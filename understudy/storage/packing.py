"""The arguments of large scripts as one text, which the server unpacks in C.

Some thousand short arguments take longer to write, to read and to hand to Lua than what is done with them. Packed they
are one, in MessagePack. A script that may be called so begins with ``UNPACK``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import msgspec
import redis

Value = str | bytes | int | float

#: The first line of a script whose arguments may come packed: they are one then.
UNPACK = "local ARGV = #ARGV == 1 and cmsgpack.unpack(ARGV[1]) or ARGV\n"

_NUMBERS = frozenset({int, float})
_encode = msgspec.msgpack.Encoder().encode


def packed(args: Sequence[Value]) -> bytes:
    """``args`` as one argument. In Lua all of them are texts, as arguments always are.

    Raises:
      DataError: one of them cannot be sent.
    """
    try:
        return _encode(args if _all_text(args) else [_element(value) for value in args])
    except (UnicodeEncodeError, TypeError) as error:
        raise redis.DataError(f"an argument cannot be sent: {error}") from error


def as_text(value: Value) -> str | bytes:
    """``value`` as text, if it is text at all; bytes that are none stay what they are.

    Raises:
      DataError: it cannot be sent.
    """
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)  # an enumeration's
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if type(value) in _NUMBERS:
        return repr(value)
    raise redis.DataError(f"an argument cannot be sent: {type(value).__name__}")


def _all_text(args: Sequence[Value]) -> TypeGuard[Sequence[str]]:
    try:
        "".join(args)  # type: ignore[arg-type]  # refuses what is none, several times faster than asking each
    except TypeError:
        return False
    return True


def _element(value: Value) -> str | msgspec.Raw:
    text = as_text(value)
    if isinstance(text, str):
        return text
    # It travels as MessagePack's raw bytes of old, the only ones that the server's library knows.
    return msgspec.Raw(b"\xdb" + len(text).to_bytes(4, "big") + text)
