"""``@actor``: what is wrong fails at import, and what does not fit fails in the caller."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pytest

from understudy import Idempotency, Retry, actor
from understudy.actors import Actor, declared, installed_broker, registered_actor
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DeclarationError, SerializationError, UnknownActor
from understudy.handle import handle
from understudy.options import ActorOptions
from understudy.running import run_by
from understudy.testing.enqueued import Enqueued

pytestmark = pytest.mark.usefixtures("broker")


def greeting() -> Callable[..., str]:
    """A new function every time: the kit takes what stands at the top of a module for a module's actor."""

    def greet(name: str, *, times: int = 1) -> str:
        return f"hello {name} " * times

    return greet


# -- declarations ----------------------------------------------------------------------------------------------


def test_without_an_installed_broker_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    with pytest.raises(DeclarationError, match=r"here `tasks`.*understudy.install\(middleware=stack") as caught:
        installed_broker()
    assert "from understudy_middleware.stack import stack" in str(caught.value)


def test_a_declaration_is_kept_in_seconds(broker: SettlingBroker) -> None:
    declaration = actor(time_limit=timedelta(minutes=1), result_ttl=5, retry=Retry(2), expected_duration=0.5)(
        greeting()
    )
    assert declared(declaration) == ActorOptions(retry=Retry(2), time_limit=60.0, result_ttl=5.0, expected_duration=0.5)
    assert declaration.options == {"time_limit": 60_000}
    assert (declaration.actor_name, declaration.queue_name) == ("greet", "default")
    assert registered_actor(broker, "greet") is declaration


def test_a_plain_dramatiq_actor_declares_the_defaults() -> None:
    assert declared(dramatiq.actor(greeting())) == ActorOptions()


def test_an_unknown_actor_is_named_with_the_nearest_one(broker: SettlingBroker) -> None:
    actor(greeting())
    with pytest.raises(UnknownActor, match="no actor is called 'greeet'; did you mean 'greet'"):
        registered_actor(broker, "greeet")


# -- calling and sending ---------------------------------------------------------------------------------------


def test_a_plain_call_runs_the_function_and_nothing_else(enqueued: Enqueued) -> None:
    assert actor(greeting())("Ada", times=2) == "hello Ada hello Ada "

    @actor(retry=Retry())
    def fail() -> None:
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        fail()
    enqueued.assert_nothing()


def test_arguments_are_in_no_log_line(caplog: pytest.LogCaptureFixture, drain: Callable[..., int]) -> None:
    with caplog.at_level(logging.DEBUG):
        actor(greeting())("the secret")
        registered_actor(installed_broker(), "greet").send("the secret")
        drain()
    assert "the secret" not in caplog.text


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("a", "b"), {}), (("a",), {"nmae": 1}), (("a",), {"name": "b"}), (("a", 1), {})]
)
def test_wrong_arguments_are_a_type_error_in_the_caller(
    args: Any, kwargs: Any, enqueued: Enqueued, broker: SettlingBroker
) -> None:
    with pytest.raises(TypeError, match=r"^greet\(\): "):
        actor(greeting()).send(*args, **kwargs)
    enqueued.assert_nothing()


def test_a_message_for_a_pipeline_may_lack_what_the_step_before_gives(drain: Callable[..., int]) -> None:
    add = actor(actor_name="add")(lambda x, y: x + y)
    with pytest.raises(TypeError, match="too many positional arguments"):
        add.message_with_options(args=(1, 2, 3))
    pipe = add.message(1, 2) | add.message_with_options(args=(3,))
    pipe.run()  # type: ignore[no-untyped-call]
    drain()
    assert handle(pipe.messages[-1]).get() == 6


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        (({1},), {}, "name"),
        (([0, {"who": object()}],), {}, "name[1]['who']"),
        ((), {"name": [set()]}, "name[0]"),
        (("a",), {"times": [[{"b": b"".__class__}]]}, "times[0][0]['b']"),
    ],
)
def test_what_cannot_travel_is_named_by_the_parameter(args: Any, kwargs: Any, path: str, enqueued: Enqueued) -> None:
    with pytest.raises(SerializationError) as caught:
        actor(greeting()).send(*args, **kwargs)
    assert caught.value.path == f"greet: {path}"
    enqueued.assert_nothing()


def test_open_ended_parameters_are_named_too() -> None:
    @actor
    def collect(first: int, *rest: Any, flag: bool = False, **more: Any) -> None: ...

    for args, kwargs, path in (
        ((1, 2, {3}), {}, "rest[1]"),
        ((1,), {"other": {3}}, "other"),
        ((1,), {"flag": {3}}, "flag"),
    ):
        with pytest.raises(SerializationError) as caught:
            collect.send(*args, **kwargs)  # type: ignore[arg-type]
        assert caught.value.path == f"collect: {path}"
    assert collect.arguments((1, 2, 3), {"b": 4}) == {"first": 1, "rest": (2, 3), "flag": False, "b": 4}


def test_a_parameter_may_be_called_like_the_machinery(drain: Callable[..., int]) -> None:
    @actor
    def odd(args: int, kwargs: int, self: int = 3) -> list[int]:
        return [args, kwargs, self]

    message = odd.send(1, kwargs=2)
    drain()
    assert handle(message).get() == [1, 2, 3]
    assert odd.arguments((1,), {"kwargs": 2}) == {"args": 1, "kwargs": 2, "self": 3}
    assert odd.arguments((1, 2, 4), {}) == {"args": 1, "kwargs": 2, "self": 4}
    with pytest.raises(TypeError):
        odd.arguments((1, 2, 3, 4), {})


def test_a_message_may_have_a_name_of_your_own(enqueued: Enqueued) -> None:
    sent = actor(greeting()).send_with_options(args=("Ada",), message_id="welcome-7")
    assert sent.message_id == "welcome-7"
    assert [message.message_id for message in enqueued.messages()] == ["welcome-7"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"message_id": ""}, "message_id is a text that is not empty"),
        ({"message_id": 5}, "message_id is a text"),
        ({"idempotency_key": ""}, "idempotency_key is a text that is not empty"),
        ({"idempotency_key": 5}, "idempotency_key is a text"),
        ({"idempotency_kye": "a"}, "unknown option 'idempotency_kye'; did you mean 'idempotency_key'"),
        ({"retry": Retry()}, "retry belongs to the actor's declaration"),
        ({"ignore_result": True}, "ignore_result belongs to the actor's declaration"),
        ({"delay": timedelta(seconds=-1)}, "delay must be zero or more"),
        ({"delay": -1}, "delay must be zero or more milliseconds, not -1"),
        ({"delay": 1.5}, "delay is a timedelta or a whole number of milliseconds, not float"),
        ({"time_limit": timedelta(0)}, "time_limit must be more than zero"),
        ({"time_limit": 0}, "time_limit must be more than zero milliseconds, not 0"),
        ({"time_limit": "5 m"}, "time_limit is a timedelta or a whole number of milliseconds, not str"),
        ({"time_limit": True}, "time_limit is a timedelta or a whole number of milliseconds, not bool"),
        ({"priority": "high"}, "priority is a whole number, not 'high'"),
        ({"priority": True}, "priority is a whole number, not True"),
        ({"when": "comitted"}, "when is one of now, committed, not 'comitted'; did you mean 'committed'"),
    ],
)
def test_a_wrong_option_of_a_message_is_refused_in_the_caller(
    options: dict[str, Any], told: str, enqueued: Enqueued
) -> None:
    greeter = actor(idempotency=Idempotency())(greeting())
    with pytest.raises(TypeError, match=told):
        greeter.send_with_options(args=("Ada",), **options)
    enqueued.assert_nothing()


def test_a_key_for_an_actor_that_is_not_idempotent_is_refused() -> None:
    with pytest.raises(TypeError, match="an idempotency_key would have no effect"):
        actor(greeting()).send_with_options(args=("Ada",), idempotency_key="a")


def test_a_delay_is_a_timedelta_or_milliseconds(enqueued: Enqueued) -> None:
    greeter = actor(greeting())
    greeter.send_with_options(args=("Ada",), delay=timedelta(microseconds=1))
    greeter.send_with_options(args=("Ada",), delay=1_500)
    assert [sent.delay for sent in enqueued.sent] == [0.001, 1.5]


def test_a_time_limit_of_a_message_is_a_timedelta_or_milliseconds(drain: Callable[..., int]) -> None:
    greeter = actor(greeting())
    for limit in (timedelta(seconds=4), 4_000):
        message = greeter.send_with_options(args=("Ada",), time_limit=limit)
        assert message.options["time_limit"] == 4_000
        drain()
        assert handle(message).get() == "hello Ada "
    assert "time_limit" not in greeter.message_with_options(args=("Ada",), time_limit=None).options, "the actor's"


# -- types -----------------------------------------------------------------------------------------------------


@pytest.mark.brokers("stub")
def test_the_types_of_an_actor_are_those_of_its_function(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(
        textwrap.dedent(
            """
            from understudy import Retry, actor

            @actor(retry=Retry())
            def add(x: int, *, y: int = 1) -> int:
                return x + y

            @actor
            def bare(name: str) -> None: ...

            add.send(1, y=2)
            bare.send("a")
            reveal_type(add(1))
            add.send("1")  # error 1
            add.send(1, z=2)  # error 2
            add("1")  # error 3
            bare.send()  # error 4
            """
        )
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "typed.py"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False).stdout
    assert 'Revealed type is "int"' in out.replace("builtins.int", "int"), out
    assert sorted(int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line) == [14, 15, 16, 17], out


def test_every_actor_has_a_class_that_carries_its_declaration() -> None:
    assert isinstance(actor(greeting()), Actor)


# -- limits and isolation --------------------------------------------------------------------------------------


def test_t11_limits_of_a_message_are_checked_together_with_those_of_its_actor(enqueued: Enqueued) -> None:
    limited = actor(time_limit=10, soft_time_limit=5)(greeting())
    limited.send_with_options(args=("Ada",), time_limit=timedelta(seconds=7), soft_time_limit=6_000)
    (sent,) = enqueued.messages(limited)
    assert (sent.options["time_limit"], sent.options["soft_time_limit"]) == (7_000, 6_000)
    too_low: dict[str, Any] = {"time_limit": 4_000}
    too_high: dict[str, Any] = {"soft_time_limit": 11_000}
    for wrong in (too_low, too_high):
        with pytest.raises(DeclarationError, match=r"greet: soft_time_limit \(.* s\) is above time_limit"):
            limited.send_with_options(args=("Ada",), **wrong)
    with pytest.raises(TypeError, match="isolation belongs to the actor's declaration"):
        limited.send_with_options(args=("Ada",), isolation="thread")


class Recorder:
    """Notes what it was asked to run."""

    def __init__(self, actor: Actor[..., Any]) -> None:
        self.actor = actor
        self.ran: list[object] = []

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        self.ran.append((args, kwargs))
        return "by the runner"


def test_a_runner_runs_the_next_body_of_its_actor_and_no_other() -> None:
    first = actor(greeting())
    second = actor(actor_name="second")(greeting())
    runner = Recorder(first)
    run_by(runner)
    assert second("Ada") == "hello Ada "
    assert first("Ada", times=2) == "by the runner"
    assert first("Ada") == "hello Ada "
    assert runner.ran == [(("Ada",), {"times": 2})]
    run_by(runner)
    run_by(None)
    assert first("Ada") == "hello Ada "
