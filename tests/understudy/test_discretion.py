"""What log lines say of exceptions."""

from __future__ import annotations

import io
import logging
import sys
import threading

import pytest

from understudy.discretion import DiscreetFormatter, guard, hush, name_of, trace
from understudy.errors import ServerUnavailable
from understudy.exceptions import remember_traceback


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> logging.Logger:
    """A logger as somebody else has set it up."""
    found = logging.Logger("somebody's")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    found.addHandler(handler)
    return found


def fail(secret: str) -> None:
    try:
        raise KeyError(secret)
    except KeyError as error:
        error.add_note(secret)
        raise RuntimeError(secret) from error


def test_a_trace_says_where_and_what_and_no_text() -> None:
    with pytest.raises(RuntimeError) as raised:
        fail("5e" + "cret")
    said = trace(raised.value)
    assert "5ecret" not in said
    assert said.index("KeyError (its text") < said.index("direct cause") < said.index("RuntimeError (its text")
    assert said.count("in fail") == 2


def test_what_was_raised_meanwhile_is_shown_once_and_circles_end() -> None:
    one, other = ValueError("5e" + "cret"), OSError("5e" + "cret")
    one.__context__, other.__context__ = other, one
    assert trace(one).count("another exception occurred") == 1
    one.__suppress_context__ = True
    assert "OSError" not in trace(one)


def test_the_trace_of_another_process_is_the_one_without_texts() -> None:
    error = ValueError("5e" + "cret")
    remember_traceback(error, "with 5ecret", discreet="in body")
    assert trace(error).startswith("in body")
    assert "5ecret" not in trace(error)


def test_what_we_say_of_the_server_is_harmless() -> None:
    assert name_of(ServerUnavailable("refused")) == "understudy.errors.ServerUnavailable: refused"
    assert name_of(ValueError("5ecret")) == "ValueError"


def test_handlers_of_others_are_guarded_once(logger: logging.Logger, stream: io.StringIO) -> None:
    guard(logger)
    guard(logger)
    formatter = logger.handlers[0].formatter
    assert isinstance(formatter, DiscreetFormatter)
    assert not isinstance(formatter.inner, DiscreetFormatter)
    try:
        fail("5e" + "cret")
    except RuntimeError as error:
        logger.exception("it is %s", error)
        logger.warning("%(what)s", {"what": error})
    assert "5ecret" not in stream.getvalue()
    assert stream.getvalue().startswith("ERROR it is RuntimeError\nTraceback")
    assert stream.getvalue().endswith("WARNING RuntimeError\n")


def test_a_thread_that_ends_is_a_line_without_its_text(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    guard(logger)
    for error in (ValueError("5ecret"), SystemExit("5ecret")):

        def body(error: BaseException = error) -> None:
            raise error

        thread = threading.Thread(target=body, name="a body's")
        thread.start()
        thread.join()
    sys.excepthook(ValueError, ValueError("5ecret"), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [line.getMessage() for line in caplog.records] == ["thread a body's ended", "this process ends"]
    assert "5ecret" not in capfd.readouterr().err


def test_dramatiqs_own_actors_do_not_log_their_arguments(logger: logging.Logger, stream: io.StringIO) -> None:
    hush(logger)
    logger.error("Received args=%r kwargs=%r.", ("5ecret",), {})
    logger.error("Completed")
    assert stream.getvalue() == "ERROR Completed\n"


def test_what_asyncio_says_of_tasks_ends_before_what_they_came_to(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.name = "asyncio"
    guard(logger)
    logger.error("Task exception was never retrieved\nfuture: <Task exception=ValueError('5ecret')>")
    logger.error("Executing %s took %.1f seconds", "<Task finished result='5ecret'>", 0.2)
    assert stream.getvalue() == "ERROR Task exception was never retrieved\nERROR Executing <Task finished\n"
