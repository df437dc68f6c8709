"""The engine's settings. ``load(Settings)`` is the only door: every mistake is reported at once.

Another package adds a class of its own and loads both together::

    class SmtpSettings(EnvSettings):
        model_config = SettingsConfigDict(env_prefix="SMTP_")
        port: Annotated[int, Field(ge=1, le=65535, description="Port of the mail server.")] = 25

    settings, smtp = load(Settings, SmtpSettings)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from .env import Bytes, CommaSeparated, Env, EnvSettings, RedisUrl, Seconds, SettingInfo, describe, load
from .urls import check_redis_url, mask_url

__all__ = [
    "Bytes",
    "CommaSeparated",
    "Env",
    "EnvSettings",
    "RedisUrl",
    "Seconds",
    "SettingInfo",
    "Settings",
    "describe",
    "load",
    "mask_url",
    "project_dir",
]

MIB = 1024 * 1024
DAY = 86400.0


def project_dir(start: Path | None = None) -> Path:
    """The nearest directory at or above ``start`` (default: the working directory) that holds a
    ``pyproject.toml`` or ``.git``; ``start`` itself when there is none."""
    here = (start if start is not None else Path.cwd()).resolve()
    for candidate in (here, *here.parents):
        if (candidate / "pyproject.toml").exists() or (candidate / ".git").exists():
            return candidate
    return here


def _default_data_dir() -> Path:
    return project_dir() / ".understudy"


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _check_broker_url(value: str) -> str:
    value = value.strip()
    if value == "stub://":
        return value
    try:
        return check_redis_url(value)
    except ValueError as error:
        raise ValueError(str(error).replace("redis://, ", "stub://, redis://, ", 1)) from None


def _check_modules(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("names no module")
    for name in value:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"holds {name!r}, which is not a module's name")
    return value


def _per_queue(value: object) -> object:
    """``"4"`` is for every queue, ``"email=0,4"`` says otherwise for one. As pairs; the name of all others is empty."""
    if not isinstance(value, str):
        return value
    found: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in value.split(","))):
        name, _, number = part.rpartition("=")
        name, number = name.strip(), number.strip()
        if not number.isdecimal():
            raise ValueError(f"holds {part!r}, which is neither a whole number nor queue=number")
        if name in found:
            raise ValueError(f"names the queue {name!r} twice" if name else "holds two numbers for all queues")
        found[name] = int(number)
    return tuple(found.items())


def _absolute(value: Path) -> Path:
    return Path(os.path.abspath(value.expanduser()))


class Settings(EnvSettings):
    """What the engine needs to know. Durations are floats of seconds, sizes ints of bytes."""

    model_config = SettingsConfigDict(env_prefix="UNDERSTUDY_")
    owned_prefix = "UNDERSTUDY_"

    redis_url: Annotated[
        RedisUrl | None,
        Env("REDIS_URL"),
        Field(description="The Redis or Valkey server. Not set: an embedded server of this checkout."),
    ] = None
    broker_url: Annotated[
        Annotated[str, AfterValidator(_check_broker_url)] | None,
        Env("BROKER_URL", expects="stub:// (unit tests, in memory) or a URL as in REDIS_URL"),
        Field(description="Where messages travel. Not set: as REDIS_URL. stub:// is the unit-test broker."),
    ] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(_upper),
        Env("LOG_LEVEL"),
        Field(description="The least severe log line that is written."),
    ] = "INFO"
    log_format: Annotated[
        Literal["console", "json"],
        BeforeValidator(_lower),
        Env("LOG_FORMAT"),
        Field(description="Log lines for people (console) or for machines (json)."),
    ] = "console"
    log_exceptions: Annotated[
        bool,
        Field(
            description="Log the texts of exceptions, which may quote arguments and secrets. By default a line says "
            "class and place; the text is in the message's record."
        ),
    ] = False
    namespace: Annotated[
        str,
        Env(expects="letters, digits, '_', '.' and '-' only"),
        Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100, description="Every key on the server begins so."),
    ] = "understudy"
    data_dir: Annotated[
        Path,
        AfterValidator(_absolute),
        Env(expects="a directory"),
        Field(description="Where the embedded server keeps its data. Default: .understudy in the project."),
    ] = Field(default_factory=_default_data_dir)
    modules: Annotated[
        CommaSeparated,
        AfterValidator(_check_modules),
        Env(expects="names of importable modules, separated by commas"),
        Field(description="What a worker imports to know its actors."),
    ] = ("tasks", "workflows")
    result_ttl: Annotated[
        Seconds, Field(ge=1, le=3650 * DAY, description="How long states and results stay readable.")
    ] = DAY
    max_result_size: Annotated[
        Bytes, Field(ge=1024, le=512 * MIB, description="The largest encoded result that is stored.")
    ] = 10 * MIB
    max_message_size: Annotated[
        Bytes, Field(ge=1024, le=512 * MIB, description="The largest encoded message that is sent.")
    ] = 128 * MIB
    processes: Annotated[int, Field(ge=1, le=1024, description="Processes of a worker.")] = 2
    threads: Annotated[int, Field(ge=1, le=1024, description="Threads of each worker process.")] = 8
    async_concurrency: Annotated[
        int, Field(ge=1, le=100_000, description="Bodies of async actors that run at once in a worker process.")
    ] = 1000
    prefetch: Annotated[
        tuple[tuple[str, int], ...],
        BeforeValidator(_per_queue),
        Env(expects="a whole number, or numbers by queue: email=0,export=2,8"),
        Field(
            description="Messages of a queue that a worker process holds beyond those that its threads work on. "
            "Not set: as many as it works off in a twentieth of a second, and twice its threads at least."
        ),
    ] = ()
    shutdown_timeout: Annotated[
        Seconds, Field(ge=0, le=DAY, description="How long running work may go on after SIGTERM.")
    ] = 30.0
    max_messages: Annotated[
        int | None,
        Field(
            ge=1,
            description="A worker process is replaced after so many messages, or up to a tenth less, so that not all "
            "are replaced at once. Not set: never.",
        ),
    ] = None
    max_memory: Annotated[
        Bytes | None,
        Field(
            ge=MIB,
            le=MIB**2,
            description="A worker process whose resident memory is above this is replaced. Not set: never.",
        ),
    ] = None
    heartbeat_timeout: Annotated[
        Seconds, Field(ge=0.5, le=3600, description="A worker silent for this long is taken for dead.")
    ] = 5.0
    track_started: Annotated[bool, Field(description="Show STARTED while a body runs, for actors that do not say.")] = (
        True
    )
    scheduler_lease: Annotated[
        Seconds,
        Field(ge=0.5, le=3600, description="Another scheduler leads when the leader was silent for this long."),
    ] = 3.0
    progress_interval: Annotated[
        Seconds, Field(ge=0, le=3600, description="The least time between two written progress updates.")
    ] = 0.1
    unknown_actor_grace: Annotated[
        Seconds,
        Field(ge=0, le=30 * DAY, description="How long a message waits for a worker that knows its actor."),
    ] = 300.0
    default_time_limit: Annotated[
        Seconds | None,
        Field(ge=0.1, le=30 * DAY, description="Time limit of an actor that names none. Not set: none."),
    ] = None
    default_soft_time_limit: Annotated[
        Seconds | None,
        Field(ge=0.1, le=30 * DAY, description="Soft time limit of an actor that names none. Not set: none."),
    ] = None
    isolation: Annotated[
        Literal["process", "thread", "simulated"],
        BeforeValidator(_lower),
        Field(
            description="Where bodies with a time limit run: in a process of their own, or in the worker's thread, "
            "where limits are best effort (thread) or are only measured (simulated: for tests)."
        ),
    ] = "process"
    metrics_port: Annotated[
        int | None,
        Field(
            ge=1,
            le=65535,
            description="A worker answers GET /metrics for Prometheus on this port, one of its processes at a time. "
            "Not set: none does.",
        ),
    ] = None
    metrics_host: Annotated[
        str, Field(min_length=1, description="The address at which it does: 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1"
    child_max_messages: Annotated[
        int | None,
        Field(
            ge=1,
            description="A process that runs bodies is replaced after so many, or up to a tenth less. Not set: never.",
        ),
    ] = None

    def prefetch_of(self, queue_name: str) -> int | None:
        """How many messages of a queue a worker process holds beyond those that its threads work on; None if nobody
        has said."""
        found = dict(self.prefetch)
        return found.get(queue_name, found.get(""))

    @property
    def is_stub(self) -> bool:
        """Whether messages travel in memory only (``BROKER_URL=stub://``)."""
        return self.broker_url == "stub://"

    @property
    def server_url(self) -> str | None:
        """The server that keeps messages and records: REDIS_URL, else a BROKER_URL that is a server, else
        None, which means the embedded server."""
        if self.redis_url is not None:
            return self.redis_url
        return None if self.is_stub else self.broker_url
