"""As much of the protocol as a proxy must read: what a request is called, where a reply ends, what it tells of."""

from __future__ import annotations

import hashlib

from understudy.storage import scripts

_SCRIPTS = {name: scripts.source(name).encode() for name in scripts.NAMES}
_BY_SHA = {hashlib.sha1(source).hexdigest().encode(): name for name, source in _SCRIPTS.items()}
_BY_TEXT = {source: name for name, source in _SCRIPTS.items()}
#: How the replies begin that say that nothing was there to do.
_IDLE: dict[str, tuple[bytes, ...]] = {
    "fetch": (b"_\r\n", b"*-1\r\n"),
    "promote": (b"*2\r\n:0\r\n",),
    "reap": (b"*2\r\n$6\r\nreaped\r\n:0\r\n",),
}


def name_of(request: bytearray) -> str:
    """What an exchange is called that begins with ``request``."""
    words = _words(request)
    command = words[0].decode().lower()
    if command == "evalsha":
        return _BY_SHA.get(words[1].lower(), command)
    if command == "eval":
        return _BY_TEXT.get(words[1], command)
    if command == "fcall":
        return words[1].decode()
    if command == "xreadgroup":
        return "fetch" if words[-1] == b">" else "take-up"
    return command


def without_effect(name: str, reply: bytes) -> bool:
    """Whether nothing was done, by the reply: an error says so too (a script that the server has to be given first)."""
    return reply.startswith((b"-", *_IDLE.get(name, ())))


def _words(data: bytearray) -> list[bytes]:
    """The words of a request, which is complete."""
    count, at, words = int(data[1 : data.index(b"\r\n")]), data.index(b"\r\n") + 2, []
    for _ in range(count):
        start = data.index(b"\r\n", at) + 2
        at = start + int(data[at + 1 : start - 2]) + 2
        words.append(bytes(data[start : at - 2]))
    return words


def end_of(data: bytearray, at: int) -> int | None:
    """The position behind the value that begins at ``at``; None while it is not complete."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    kind, after = bytes(data[at : at + 1]), line + 2
    if kind in (b"$", b"=", b"!"):
        length = int(data[at + 1 : line])
        after += length + 2 if length >= 0 else 0
        return after if after <= len(data) else None
    if kind in (b"*", b"~", b">", b"%"):
        count = max(0, int(data[at + 1 : line])) * (2 if kind == b"%" else 1)
        for _ in range(count):
            behind = end_of(data, after)
            if behind is None:
                return None
            after = behind
    return after
