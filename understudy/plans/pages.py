"""What a group starts, page by page; and lists of numbers that are short when they are regular."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

#: Members of a group in one page.
PAGE = 500


class Letter(msgspec.Struct, array_like=True):
    """One member of a group: the message that it begins with. Without a message its first node is begun where it lies.

    ``delay`` is in seconds from when it is moved.
    """

    node: int
    queue: str = ""
    level: int = 0
    payload: bytes = b""
    delay: float = 0.0


class Page(msgspec.Struct, array_like=True):
    """Members that are moved to their queues in one step."""

    letters: list[Letter]
    last: bool


_PAGE = msgspec.msgpack.Decoder(Page)
_RANGES = msgspec.msgpack.Decoder(list[tuple[int, int, int]])
_ENCODE = msgspec.msgpack.Encoder()


def pages(letters: Sequence[Letter]) -> Iterator[bytes]:
    """The pages of a group, encoded."""
    for start in range(0, len(letters), PAGE):
        page = Page(list(letters[start : start + PAGE]), last=start + PAGE >= len(letters))
        # Members of a group are much alike: what is kept of them for a resume is a tenth of what they are.
        yield zlib.compress(_ENCODE.encode(page), 1)


def read_page(data: bytes) -> Page:
    """What ``pages`` wrote."""
    return _PAGE.decode(zlib.decompress(data))


def pack(numbers: Iterable[int]) -> bytes:
    """Numbers as progressions: start, count, step."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and (last := runs[-1])[1] == 1:
            last[1:] = 2, number - last[0]
        elif runs and number == last[0] + last[1] * last[2]:
            last[1] += 1
        else:
            runs.append([number, 1, 1])
    return _ENCODE.encode(runs)


def unpack(data: bytes) -> list[int]:
    """What ``pack`` wrote."""
    return [start + step * i for start, count, step in _RANGES.decode(data) for i in range(count)]
