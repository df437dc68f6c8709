from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from understudy import logs
from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker
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
def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    logs.configure(Settings(log_format=log_format), colors=False)  # type: ignore[arg-type]

    def body(recipient: str) -> None:
        raise ValueError("it broke")

    try:
        body("ada" + "@example.com")
    except ValueError:
        logging.getLogger("a").exception("failed")
    said = capsys.readouterr().err
    assert "ValueError: it broke" in said
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
