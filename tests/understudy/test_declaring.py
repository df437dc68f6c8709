"""What is wrong in a declaration fails at import, and says what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from dramatiq.brokers.stub import StubBroker as ForeignBroker

from understudy import Idempotency, Retry, actor
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError, LimitsConflict

pytestmark = pytest.mark.usefixtures("broker")


def greeting() -> Callable[..., str]:
    """A new function every time: the kit takes what stands at the top of a module for a module's actor."""

    def greet(name: str, *, times: int = 1) -> str:
        return f"hello {name} " * times

    return greet


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retires": Retry()}, "unknown option 'retires'; did you mean 'retry'?"),
        ({"idempotent": Idempotency()}, "unknown option 'idempotent'; did you mean 'idempotency'?"),
        ({"max_retries": 3}, r"unknown option 'max_retries'; did you mean retry=Retry\(max_retries=...\)\?"),
        ({"autoretry_for": (OSError,)}, r"did you mean retry=Retry\(on=...\)\?"),
        ({"queue": "email"}, "did you mean queue_name=...?"),
        ({"name": "email"}, "did you mean actor_name=...?"),
        ({"zzz": 1}, "unknown option 'zzz'$"),
        ({"queue_name": "1st"}, "queue_name '1st' must begin with a letter"),
        ({"queue_name": 5}, "queue_name 5 must"),
        ({"actor_name": ""}, "needs a name"),
        ({"actor_name": 5}, "needs a name"),
        ({"retry": 3}, "retry takes a Retry or None, not 3; write Retry"),
        ({"retry": Retry}, r"call it: Retry\(\)"),
        ({"idempotency": True}, "idempotency takes a Idempotency or None"),
        ({"time_limit": "5 m"}, "time_limit is a timedelta or a number of seconds"),
        ({"time_limit": 0}, "time_limit must be more than zero"),
        ({"result_ttl": -1}, "result_ttl must be more than zero"),
        ({"expected_duration": True}, "expected_duration is a timedelta or a number"),
        ({"track_started": "yes"}, "track_started is True or False, not 'yes'"),
        ({"ignore_result": None}, "ignore_result is True or False"),
        ({"pure": 1}, "pure is True or False"),
        ({"priority": "high"}, "priority is a whole number"),
        ({"priority": True}, "priority is a whole number"),
        ({"pure": True, "idempotency": Idempotency()}, "keep one of them"),
        ({"time_limit": 1, "expected_duration": timedelta(seconds=2)}, "would always be stopped"),
        ({"time_limit": 1, "soft_time_limit": 2}, r"soft_time_limit \(2 s\) is above time_limit \(1 s\)"),
        ({"memory_limit": "5 MB"}, "actor greet: memory_limit is a number of bytes or a text such as '512MiB'"),
        ({"memory_limit": 10**9, "isolation": "thread"}, "memory_limit=... needs a process of its own"),
        ({"soft_time_limit": 0}, "soft_time_limit must be more than zero"),
        ({"isolation": "proces"}, "isolation is one of process, thread, not 'proces'; did you mean 'process'"),
        ({"idempotency": Idempotency(key="{nane}")}, "names 'nane', which is not an argument.*did you mean 'name'"),
    ],
)
def test_a_wrong_declaration_fails_at_import(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        actor(**options)(greeting())


def test_two_actors_of_one_name_are_told_apart_at_import() -> None:
    actor(greeting())
    with pytest.raises(DeclarationError, match=r"another actor has this name already \(.*greet.* of tests"):
        actor(greeting())


def generator() -> Any:
    yield 1


async def stream() -> Any:
    yield 1


@pytest.mark.parametrize("body", [generator, stream])
def test_a_body_that_would_never_run_is_refused(body: Callable[..., Any]) -> None:
    with pytest.raises(DeclarationError, match="write a"):
        actor(body)


@pytest.mark.parametrize("wrong", ["email", 5])
def test_a_decorator_with_a_name_in_place_of_a_function_says_how_to_write_it(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match="actor_name"):
        actor(wrong)


def test_what_has_no_name_needs_one() -> None:
    with pytest.raises(DeclarationError, match="needs a name"):
        actor(partial(greeting(), times=2))
    assert actor(actor_name="cube", broker=ForeignBroker(middleware=[]))(partial(pow, exp=3))(2) == 8


def test_a_guard_that_no_middleware_keeps_is_refused() -> None:
    foreign = ForeignBroker(middleware=[])
    told = "no middleware of the installed broker knows 'idempotency'.*from understudy_middleware.stack import stack"
    with pytest.raises(DeclarationError, match=told):
        actor(broker=foreign, idempotency=Idempotency())(greeting())
    assert actor(broker=foreign)(greeting())("Ada") == "hello Ada "


def test_a_soft_limit_above_the_limit_of_those_that_name_none_is_refused(broker: RedisBroker) -> None:
    broker.settings = broker.settings.model_copy(update={"default_time_limit": 600.0})
    with pytest.raises(LimitsConflict, match="above the time limit of actors that name none"):
        actor(soft_time_limit=700)(greeting())
