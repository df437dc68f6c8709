from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from understudy import chain, logs
from understudy.actors import actor
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.errors import DeclarationError
from understudy.execution import Execution, set_current
from understudy.holds import Hold
from understudy.outcome import Outcome
from understudy.settings import Settings


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def as_json(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_for_machines_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    logging.getLogger("some.library").warning("two\nlines of %s", "text")
    (line,) = as_json(capsys)
    assert line["event"] == "two\nlines of text"
    assert line["level"] == "warning"
    assert line["logger"] == "some.library"
    assert line["pid"] == os.getpid()
    assert str(line["timestamp"]).endswith("Z")


def test_a_line_for_people_begins_with_when_and_how_bad(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="console"), colors=False)
    logging.getLogger("some.library").error("it broke")
    said = capsys.readouterr().err
    assert "[error    ] it broke [some.library]" in said
    assert "\x1b" not in said


def test_colours_are_for_people_who_have_not_refused_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure(Settings(log_format="console"), colors=True)
    logging.getLogger("x").error("it broke")
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert logs.wants_colors(sys.stderr)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not logs.wants_colors(sys.stderr)


def test_less_severe_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json", log_level="WARNING"))
    logging.getLogger("a").info("left out")
    structlog.get_logger("b").info("left out")
    logging.getLogger("a").warning("kept")
    structlog.get_logger("b").warning("kept", file="x")
    lines = as_json(capsys)
    assert [line["event"] for line in lines] == ["kept", "kept"]
    assert (lines[1]["file"], lines[1]["logger"]) == ("x", "b")


def test_configuring_again_replaces_what_was_configured(
    capsys: pytest.CaptureFixture[str], root: logging.Logger
) -> None:
    logs.configure(Settings(log_format="console"))
    logs.configure(Settings(log_format="json"))
    logging.getLogger("a").warning("once")
    assert len(as_json(capsys)) == 1
    assert len(root.handlers) == 1


def test_lines_go_where_stderr_is_now(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure(Settings(log_format="json"))
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    logging.getLogger("a").warning("moved")
    assert "moved" in capsys.readouterr().out


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("texts", [False, True])
def test_a_traceback_shows_no_local_variables_and_texts_if_they_are_asked_for(
    capsys: pytest.CaptureFixture[str], log_format: str, texts: bool
) -> None:
    logs.configure(Settings(log_format=log_format, log_exceptions=texts), colors=False)  # type: ignore[arg-type]

    def body(recipient: str) -> None:
        raise ValueError("it " + "broke")

    try:
        body("ada" + "@example.com")
    except ValueError as error:
        logging.getLogger("a").exception("failed: %s", error)
        structlog.get_logger("b").exception("failed: %s", error, why=error)
    said = capsys.readouterr().err
    assert ("it broke" in said) is texts
    assert said.count("in body") == 2
    assert said.count("ValueError") >= 4
    assert "in body" in said
    assert "ada@example.com" not in said


@pytest.mark.brokers("stub")
def test_lines_of_an_execution_say_which_and_those_of_others_do_not(
    broker: SettlingBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    @actor(queue_name="mail", broker=broker)
    def write(text: str) -> None:
        """Never runs."""

    logs.configure(Settings(log_format="json"))
    execution = Execution(
        message_id="m1",
        actor=write,
        records=broker.records,
        outcome=Outcome(),
        stopping=threading.Event(),
        hold=Hold(stream="s", entry="1-0", token="mail/2/1-0"),
        retries=2,
    )
    set_current(execution)
    try:
        logging.getLogger("a").warning("inside")
        other = threading.Thread(target=lambda: logging.getLogger("a").warning("outside"))
        other.start()
        other.join()
    finally:
        set_current(None)
    inside, outside = as_json(capsys)
    assert {"message_id": "m1", "actor": "write", "queue": "mail", "attempt": 3}.items() <= inside.items()
    assert not {"message_id", "actor", "queue", "attempt"} & outside.keys()


def test_importing_tasks_leaves_the_logging_of_a_service_alone() -> None:
    program = (
        "import logging, sys\nimport tasks, understudy.logs\n"
        "sys.exit(bool(logging.getLogger().handlers) or logging.getLogger().level != logging.WARNING)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.brokers("stub")
def test_arguments_that_the_actor_names_are_logged_and_no_others(
    broker: SettlingBroker, drain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    @actor(log_args=("user_id", "kind"))
    def body(user_id: int, secret: str, kind: str = "plain") -> None:
        logging.getLogger("a").warning("inside")

    logs.configure(Settings(log_format="json"))
    body.send(7, "5ecret")
    body.message_with_options(args=(8,))  # does not fit, and is not asked
    drain()
    said = capsys.readouterr().err
    (line,) = (json.loads(line) for line in said.splitlines() if "inside" in line)
    assert line["args"] == {"user_id": 7, "kind": "plain"}
    assert "5ecret" not in said
    with pytest.raises(DeclarationError, match=r"log_args names 'user'.*did you mean 'user_id'"):
        actor(actor_name="other", log_args=("user",))(body.fn)
    with pytest.raises(DeclarationError, match="log_args is a tuple"):
        actor(actor_name="other", log_args="user_id")(body.fn)


@pytest.mark.brokers("stub")
def test_a_line_about_a_message_says_which_also_when_none_is_being_worked_on(
    broker: SettlingBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    @actor(queue_name="mail")
    def body() -> None: ...

    message = body.message_with_options()
    held = HeldMessage(message, Hold(stream="s", entry="1-0", token="mail/2/1-0"))
    logs.configure(Settings(log_format="json"))
    logging.getLogger("a").warning("%s: another worker has it", held)
    (line,) = as_json(capsys)
    expected = {"message_id": message.message_id, "root_id": message.message_id, "actor": "body", "queue": "mail"}
    assert {**expected, "attempt": 1}.items() <= line.items()


@pytest.mark.brokers("stub")
def test_a_step_of_a_workflow_says_of_which(
    broker: SettlingBroker, drain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    @actor
    def body(value: int) -> int:
        logging.getLogger("a").warning("inside")
        return value

    handle = chain(body.message(1), body.message_with_options()).run()
    logs.configure(Settings(log_format="json"))
    drain()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "inside" in line]
    assert len({line["message_id"] for line in lines}) == 2
    (workflow,) = {line["workflow"] for line in lines}
    assert handle.id.startswith(f"{workflow}.")
