"""What is declared, what the error says, and what the reply of a script means."""

from __future__ import annotations

from typing import Any

import dramatiq
import pytest

from understudy import AlreadyEnqueued, Unique, actor
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError
from understudy.exceptions import decode_exception, encode_exception
from understudy.runtime import build
from understudy.uniqueness import refusals


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"until": "don"}, r"Unique.until is one of done, started, not 'don'; did you mean 'done'\?"),
        ({"ttl": 0}, "Unique.ttl"),
        ({"ttl": "day"}, "Unique.ttl"),
        ({"key": 5}, "Unique.key is a text"),
        ({"key": "report"}, "Unique.key 'report' names no argument"),
        ({"key": "{0}"}, "Unique.key .* name an argument"),
        ({"key": "{user._x}"}, "Unique.key .* attributes that begin with _"),
    ],
)
def test_a_wrong_declaration_names_its_field(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        Unique(**wrong)


def test_what_is_declared_is_checked_against_the_function_and_the_broker(broker: RedisBroker) -> None:
    def body(user_id: int) -> None: ...

    with pytest.raises(DeclarationError, match=r"unique key '\{user\}' names 'user', .*did you mean 'user_id'\?"):
        actor(unique=Unique(key="{user}"))(body)
    with pytest.raises(DeclarationError, match=r"unique takes a Unique or None, not True; write Unique\(\.\.\.\)"):
        actor(unique=True)(body)  # type: ignore[call-overload]
    with pytest.raises(DeclarationError, match="unknown option 'uniqe'; did you mean 'unique'"):
        actor(uniqe=Unique())(body)
    with pytest.raises(DeclarationError, match=r"did you mean unique=Unique\(\.\.\.\)"):
        actor(once=True)(body)
    bare = build(broker.settings, middleware=[], storage=broker.storage)
    with pytest.raises(DeclarationError, match="no middleware of the installed broker knows 'unique'"):
        actor(unique=Unique(), broker=bare)(body)


def test_refusals_are_read_whatever_the_ids_are() -> None:
    assert refusals(b"") == {}
    assert refusals("3:5:a:9:b12:4:ö 1".encode()) == {3: "a:9:b", 12: "ö 1"}


def test_an_actor_of_dramatiq_s_own_is_not_unique(broker: RedisBroker) -> None:
    @dramatiq.actor
    def body() -> None: ...

    body.send()
    body.send()
    assert broker.size("default") == 2


def test_the_error_travels() -> None:
    found = decode_exception(encode_exception(AlreadyEnqueued("report", "m")))
    assert isinstance(found, AlreadyEnqueued)
    assert (found.actor_name, found.message_id) == ("report", "m")
