"""What a log line may say of an exception: its class and where it was raised, not its text.

An exception's text may quote what it was raised over: an address, a password in a URL, an argument. Tracebacks end with
it. So log lines of worker processes carry tracebacks without texts, and an exception among the arguments of a line
shows as its class. The text is in the record: ``handle(id).result``, ``understudy status ID``. With
``UNDERSTUDY_LOG_EXCEPTIONS=true`` they are logged.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from typing import Any

from dramatiq.errors import BrokerConnectionError

from .errors import EmbeddedServerError, ServerUnavailable, SettingsError
from .exceptions import RemoteTraceback

#: These say what our own code has written of the server and the settings.
HARMLESS = (ServerUnavailable, EmbeddedServerError, SettingsError, BrokerConnectionError)
#: In the place of a text.
WITHHELD = "(its text is not logged; it is in the record, and UNDERSTUDY_LOG_EXCEPTIONS=true shows it)"
#: Exceptions behind exceptions deeper than that are left out.
DEPTH = 10

#: Where asyncio begins to say what a task came to.
_OUTCOME = re.compile(r"\n| result=| exception=")
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_MEANWHILE = "\nDuring handling of the above exception, another exception occurred:\n\n"


def trace(exception: BaseException) -> str:
    """The traceback of ``exception``, of its causes and of what it was raised over, without any text of them."""
    return _trace(exception, DEPTH, set()).rstrip("\n")


def name_of(exception: BaseException) -> str:
    """The class, with the text where that is harmless."""
    name = class_of(exception)
    return f"{name}: {exception}" if isinstance(exception, HARMLESS) else name


def class_of(exception: BaseException) -> str:
    """The full name of the class; a built-in one without its module."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shown(value: object) -> object:
    """An exception as its class, anything else as it is."""
    return name_of(value) if isinstance(value, BaseException) else value


def without_texts(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of ``record`` with no exception among its arguments."""
    copy = logging.makeLogRecord(record.__dict__)
    if isinstance(copy.args, tuple):
        copy.args = tuple(shown(value) for value in copy.args)
    elif isinstance(copy.args, dict):
        copy.args = {name: shown(value) for name, value in copy.args.items()}
    if copy.name == "asyncio":
        # It writes tasks out, with what they came to, on lines of their own.
        copy.msg, copy.args = _OUTCOME.split(copy.getMessage(), maxsplit=1)[0], ()
    return copy


class DiscreetFormatter(logging.Formatter):
    """Lets another formatter format what may be said."""

    discreet = True

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        copy = without_texts(record)
        copy.exc_text = None  # another formatter may have left its own
        if copy.exc_info:
            raised = copy.exc_info[1]
            copy.exc_info, copy.exc_text = None, None if raised is None else trace(raised)
        return self.inner.format(copy)


def guard(root: logging.Logger | None = None) -> None:
    """Let every handler of this process format discreetly. For processes whose logging somebody else has configured:
    those of the ``dramatiq`` command. Again does nothing more."""
    for handler in (logging.getLogger() if root is None else root).handlers:
        formatter = handler.formatter or logging.Formatter()
        if not getattr(formatter, "discreet", False):
            handler.setFormatter(DiscreetFormatter(formatter))
    log_uncaught()


def hush(logger: logging.Logger) -> None:
    """Keep an actor that was declared with ``dramatiq.actor`` from logging its arguments, which it does at DEBUG."""
    logger.addFilter(_no_arguments)


def log_uncaught() -> None:
    """What ends a thread, or this process, is a log line like any other: Python's own writes texts to stderr."""
    threading.excepthook = _thread_ended
    sys.excepthook = _process_ends
    sys.unraisablehook = _unraisable


def _no_arguments(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Received args=")


def _thread_ended(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is None or isinstance(found.exc_value, SystemExit):
        return
    name = "?" if found.thread is None else found.thread.name
    logging.getLogger(__name__).error("thread %s ended", name, exc_info=found.exc_value)


def _process_ends(kind: type[BaseException], raised: BaseException, frames: Any) -> None:
    if not isinstance(raised, KeyboardInterrupt):
        logging.getLogger(__name__).critical("this process ends", exc_info=raised)


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    logging.getLogger(__name__).error("an exception that nobody can catch", exc_info=found.exc_value)


def _trace(exception: BaseException, depth: int, seen: set[int]) -> str:
    if isinstance(exception, RemoteTraceback):
        return exception.discreet
    seen.add(id(exception))
    before, between = exception.__cause__, _CAUSED
    if before is None and not exception.__suppress_context__:
        before, between = exception.__context__, _MEANWHILE
    text = ""
    if before is not None and id(before) not in seen and depth:
        text = _trace(before, depth - 1, seen).rstrip("\n") + "\n" + between
    frames = traceback.extract_tb(exception.__traceback__)
    if frames:
        text += "Traceback (most recent call last):\n" + "".join(frames.format())
    said = name_of(exception)
    return f"{text}{said if isinstance(exception, HARMLESS) else f'{said} {WITHHELD}'}\n"
