"""The ways in which ``each`` remembers items, for tests that hold in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from understudy import each
from understudy.items import Items

LEASE = 10
MODES = ["keys", "order", "cursor"]


def loop(mode: str, items: Iterable[int], **options: Any) -> Items[int]:
    """``each`` over numbers in ascending order."""
    if mode == "cursor":

        def cursor(after: int | None) -> Iterator[int]:
            return (item for item in items if after is None or item > after)

        return each(cursor=cursor, key=str, position=int, **options)
    return each(items, key=str, ordered=mode == "order", **options)


def finish(drain: Callable[..., int], freezer: FrozenDateTimeFactory, times: int = 6) -> None:
    """Drain until nothing comes any more, also from workers that died."""
    for _ in range(times):
        drain()
        freezer.tick(LEASE)
