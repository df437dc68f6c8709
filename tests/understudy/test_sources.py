from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from understudy.errors import DeclarationError, ItemsChanged, SerializationError
from understudy.ledger import Ledger, link
from understudy.sources import Source


def source(items: list[Any] | None = None, cursor: Any = None, key: Any = "id", position: Any = "id") -> Source[Any]:
    return Source(items, cursor, key, position)


def test_an_item_is_named_by_a_key_an_attribute_or_a_function() -> None:
    assert source().key({"id": 7}, 0) == "7"
    assert source(key="year").key(datetime(2026, 3, 1, tzinfo=UTC), 0) == "2026"
    assert source(key=len).key("abc", 0) == "3"


def listed(found: Iterator[Any] | AsyncIterable[Any]) -> list[Any]:
    assert isinstance(found, Iterator)
    return list(found)


@pytest.mark.parametrize("item", [{}, {"id": None}, {"id": ""}, object()])
def test_an_item_without_a_key_is_named(item: Any) -> None:
    with pytest.raises(DeclarationError, match="item 4 has no 'id'"):
        source().key(item, 4)


def test_the_rest_begins_behind_what_is_over() -> None:
    chain = link(link("", "1"), "2")
    items = source([1, 2, 3, 4], key=str)
    assert listed(items.rest(Ledger())) == [1, 2, 3, 4]
    assert listed(items.rest(Ledger(position=2, chain=chain))) == [3, 4]
    assert listed(source([1, 2], key=str).rest(Ledger(position=2, chain=chain))) == []
    for other in ([2, 1, 3], [1], [], [1, 3, 2]):
        with pytest.raises(ItemsChanged, match="first 2 items"):
            source(other, key=str).rest(Ledger(position=2, chain=chain))


def test_a_cursor_is_called_with_the_position_as_the_item_had_it() -> None:
    asked: list[Any] = []

    def cursor(after: Any) -> list[Any]:
        asked.append(after)
        return []

    moment = datetime(2026, 3, 1, tzinfo=UTC)
    items = source(cursor=cursor, position=lambda item: [item, 5])
    listed(items.behind(Ledger()))
    listed(items.behind(Ledger(position=1, after=items.position(moment))))
    assert asked == [None, [moment, 5]]


def test_a_position_must_be_there_and_able_to_travel() -> None:
    with pytest.raises(DeclarationError, match="has no 'id'"):
        source().position({})
    with pytest.raises(SerializationError, match=r"each\(position\)"):
        source().position({"id": object()})
