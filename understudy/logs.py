"""Log lines of worker processes and of the command line: for people, or JSON for machines.

Everything goes through the standard library's ``logging``, so Dramatiq's lines and those of any other library look
the same; structlog only renders. While a message is being worked on, each line says which: ``message_id``,
``actor``, ``queue``, ``attempt``, ``root_id`` and the ``workflow`` if it belongs to one; a line about a message that is
not being worked on just then says so too. Arguments are never added, but for those that the actor names (``log_args``),
and exceptions are logged without their texts, which may quote them (``discretion``).

Nothing here happens at import: only a process that Understudy's command line has started is configured (see
``understudy.supervisor.boot``). A service that imports ``tasks`` keeps its own logging.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .brokers.held import HeldMessage
from .discretion import log_uncaught, shown, trace, without_texts
from .execution import current
from .settings import Settings


def configure(settings: Settings, *, colors: bool | None = None) -> None:
    """Log to stderr as ``LOG_LEVEL`` and ``LOG_FORMAT`` say. Replaces what was configured before.

    Args:
      colors: colour the lines for people; when None, if stderr is a terminal and ``NO_COLOR`` is not set.
    """
    if colors is None:
        colors = wants_colors(sys.stderr)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=["alert"]),
        add_process,
        add_execution,
    ]
    handler = _CurrentStderr()
    render = _render(settings.log_format, colors)
    if settings.log_exceptions:
        handler.setFormatter(_Formatter(foreign_pre_chain=shared, processors=render))
    else:
        handler.setFormatter(_DiscreetFormatter(foreign_pre_chain=shared, processors=[withhold, *render]))
        log_uncaught()
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            *([] if settings.log_exceptions else [withhold]),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # configured again in every worker process
    )


def wants_colors(stream: TextIO) -> bool:
    """Whether lines written to ``stream`` are read by a person who has not asked for plain text."""
    return not os.environ.get("NO_COLOR") and stream.isatty()


def add_process(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """``pid``: many processes share one stderr."""
    line["pid"] = os.getpid()
    return line


def add_execution(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """What is being worked on in this thread, else the message that the line is about, if there is one."""
    execution = current()
    if execution is not None:
        line["message_id"] = execution.message_id
        line["actor"] = execution.actor.actor_name
        line["queue"] = execution.actor.queue_name
        line["attempt"] = execution.retries + 1
        line["root_id"] = execution.root_id
        if execution.workflow is not None:
            line["workflow"] = execution.workflow
        if arguments := execution.arguments_to_log:
            line["args"] = arguments
        return line
    held = getattr(line.get("_record"), "held", None)
    if isinstance(held, HeldMessage):
        line["message_id"], line["actor"] = held.message_id, held.actor_name
        line["queue"], line["attempt"] = held.queue_name, held.retries + 1
        line["root_id"] = held.options.get("root_id") or held.message_id
    return line


def withhold(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Exceptions without their texts."""
    raised = line.pop("exc_info", None)
    if isinstance(raised, tuple):
        raised = raised[1]
    elif raised and not isinstance(raised, BaseException):
        raised = sys.exc_info()[1]
    if raised:
        line["exception"] = trace(raised)
    if "positional_args" in line:
        line["positional_args"] = tuple(shown(value) for value in line["positional_args"])
    for name, value in line.items():
        line[name] = shown(value)
    return line


def _render(log_format: str, colors: bool) -> list[Processor]:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_one_line)
        return [remove, structlog.processors.format_exc_info, renderer]
    # structlog's own choice of a formatter shows local variables, and with them message arguments.
    plain = structlog.dev.plain_traceback
    return [remove, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, pad_event_to=0)]


def _one_line(line: EventDict, **options: object) -> str:
    first = {name: line.pop(name, None) for name in ("timestamp", "level", "logger", "event")}
    return json.dumps({**first, **line}, default=repr, ensure_ascii=False)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Remembers the message that a line is about: the formatter it stands on takes the arguments away."""

    def format(self, record: logging.LogRecord) -> str:
        args = record.args if isinstance(record.args, tuple) else ()
        held = next((value for value in args if isinstance(value, HeldMessage)), None)
        if held is not None:
            record = logging.makeLogRecord({**record.__dict__, "held": held})
        return super().format(record)


class _DiscreetFormatter(_Formatter):
    """No exception says its text."""

    discreet = True

    def format(self, record: logging.LogRecord) -> str:
        return super().format(without_texts(record))


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is now: Dramatiq replaces it in each worker process by a pipe to the
    parent, which keeps lines of several processes whole."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr
