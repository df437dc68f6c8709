"""The engine's settings: defaults, bounds, names, and mistakes that are told all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.errors import SettingsError
from understudy.settings import Settings, describe, load, project_dir


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(Settings, environ=environ)
    return caught.value.problems


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = load(Settings, environ={})
    assert settings.model_dump(exclude={"data_dir"}) == {
        "redis_url": None,
        "broker_url": None,
        "log_level": "INFO",
        "log_format": "console",
        "namespace": "understudy",
        "modules": ("tasks", "workflows"),
        "result_ttl": 86400.0,
        "max_result_size": 10 * 1024 * 1024,
        "max_message_size": 128 * 1024 * 1024,
        "processes": 2,
        "threads": 8,
        "async_concurrency": 1000,
        "prefetch": (),
        "shutdown_timeout": 30.0,
        "max_messages": None,
        "max_memory": None,
        "heartbeat_timeout": 5.0,
        "track_started": True,
        "scheduler_lease": 3.0,
        "progress_interval": 0.1,
        "unknown_actor_grace": 300.0,
        "default_time_limit": None,
        "default_soft_time_limit": None,
        "isolation": "process",
        "child_max_messages": None,
        "metrics_port": None,
        "log_exceptions": False,
        "metrics_host": "127.0.0.1",
    }


def test_every_setting_is_read_from_its_name() -> None:
    settings = load(
        Settings,
        environ={
            "REDIS_URL": "redis://db:6379/1",
            "BROKER_URL": "stub://",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "JSON",
            "UNDERSTUDY_NAMESPACE": "shop.eu-1",
            "UNDERSTUDY_DATA_DIR": "/var/lib/understudy",
            "UNDERSTUDY_MODULES": "shop.tasks,shop.flows",
            "UNDERSTUDY_RESULT_TTL": "1h",
            "UNDERSTUDY_MAX_RESULT_SIZE": "1MiB",
            "UNDERSTUDY_MAX_MESSAGE_SIZE": "2097152",
            "UNDERSTUDY_PROCESSES": "4",
            "UNDERSTUDY_THREADS": "16",
            "UNDERSTUDY_ASYNC_CONCURRENCY": "50",
            "UNDERSTUDY_PREFETCH": "email=0, export = 2,8",
            "UNDERSTUDY_SHUTDOWN_TIMEOUT": "0",
            "UNDERSTUDY_MAX_MESSAGES": "1000",
            "UNDERSTUDY_MAX_MEMORY": "512MiB",
            "UNDERSTUDY_HEARTBEAT_TIMEOUT": "500ms",
            "UNDERSTUDY_TRACK_STARTED": "no",
            "UNDERSTUDY_SCHEDULER_LEASE": "10s",
            "UNDERSTUDY_PROGRESS_INTERVAL": "0.5",
            "UNDERSTUDY_UNKNOWN_ACTOR_GRACE": "10m",
            "UNDERSTUDY_DEFAULT_TIME_LIMIT": "5m",
            "UNDERSTUDY_DEFAULT_SOFT_TIME_LIMIT": "1m",
            "UNDERSTUDY_ISOLATION": "Thread",
            "UNDERSTUDY_CHILD_MAX_MESSAGES": "50",
            "UNDERSTUDY_METRICS_PORT": "9191",
            "UNDERSTUDY_LOG_EXCEPTIONS": "true",
            "UNDERSTUDY_METRICS_HOST": "0.0.0.0",
        },
    )
    assert settings.model_dump() == {
        "redis_url": "redis://db:6379/1",
        "broker_url": "stub://",
        "log_level": "DEBUG",
        "log_format": "json",
        "namespace": "shop.eu-1",
        "data_dir": Path("/var/lib/understudy"),
        "modules": ("shop.tasks", "shop.flows"),
        "result_ttl": 3600.0,
        "max_result_size": 1048576,
        "max_message_size": 2097152,
        "processes": 4,
        "threads": 16,
        "async_concurrency": 50,
        "prefetch": (("email", 0), ("export", 2), ("", 8)),
        "shutdown_timeout": 0.0,
        "max_messages": 1000,
        "max_memory": 536870912,
        "heartbeat_timeout": 0.5,
        "track_started": False,
        "scheduler_lease": 10.0,
        "progress_interval": 0.5,
        "unknown_actor_grace": 600.0,
        "default_time_limit": 300.0,
        "default_soft_time_limit": 60.0,
        "isolation": "thread",
        "child_max_messages": 50,
        "metrics_port": 9191,
        "log_exceptions": True,
        "metrics_host": "0.0.0.0",
    }


def test_every_mistake_is_told_with_its_name_and_what_to_write() -> None:
    assert problems(
        REDIS_URL="localhost:6379",
        BROKER_URL="amqp://guest:guest@host",
        LOG_LEVEL="loud",
        UNDERSTUDY_NAMESPACE="a b",
        UNDERSTUDY_MODULES="tasks,work-flows",
        UNDERSTUDY_THREADS="many",
        UNDERSTUDY_HEARTBEAT_TIMEOUT="100h",
        UNDERSTUDY_PROCESES="2",
    ) == [
        (
            "REDIS_URL='localhost:6379' does not start with redis://, rediss:// or unix://; write "
            "redis://[user:password@]host[:port][/database], rediss://... or unix:///path/of/socket"
        ),
        (
            "BROKER_URL='amqp://guest:***@host' does not start with stub://, redis://, rediss:// or unix://; "
            "write stub:// (unit tests, in memory) or a URL as in REDIS_URL"
        ),
        "LOG_LEVEL='loud' is not a choice; write one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        (
            "UNDERSTUDY_NAMESPACE='a b' holds characters that may not stand there; "
            "write letters, digits, '_', '.' and '-' only"
        ),
        (
            "UNDERSTUDY_MODULES='tasks,work-flows' holds 'work-flows', which is not a module's name; "
            "write names of importable modules, separated by commas"
        ),
        "UNDERSTUDY_THREADS='many' is not a whole number; write a whole number from 1 to 1024",
        ("UNDERSTUDY_HEARTBEAT_TIMEOUT='100h' is too large; write seconds (also 500ms, 5m, 1h, 2d) from 0.5 to 3600"),
        "UNDERSTUDY_PROCESES is not a setting; did you mean UNDERSTUDY_PROCESSES?",
    ]


@pytest.mark.parametrize("name", ["UNDERSTUDY_XYZZY", "understudy_threads"])
def test_an_unknown_understudy_name_is_a_mistake(name: str) -> None:
    (problem,) = problems(**{name: "1"})
    assert problem.startswith(f"{name} is not a setting; ")


def test_no_password_is_shown_in_the_repr_or_in_an_error() -> None:
    settings = load(Settings, environ={"REDIS_URL": "redis://:hunter2@db/0"})
    assert "hunter2" not in f"{settings!r} {settings}"
    assert settings.redis_url == "redis://:hunter2@db/0"
    assert "hunter2" not in str(problems(REDIS_URL="redis://:hunter2@db/zero", BROKER_URL=":hunter2@db"))


def test_the_stub_broker_stands_beside_a_redis_url() -> None:
    settings = load(Settings, environ={"BROKER_URL": "stub://", "REDIS_URL": "redis://db"})
    assert settings.is_stub
    assert settings.server_url == "redis://db"


@pytest.mark.parametrize(
    ("environ", "server"),
    [
        ({}, None),
        ({"BROKER_URL": "stub://"}, None),
        ({"BROKER_URL": "redis://b"}, "redis://b"),
        ({"BROKER_URL": "redis://b", "REDIS_URL": "redis://a"}, "redis://a"),
    ],
)
def test_the_server_is_the_redis_url_then_the_broker_url_then_the_embedded_one(
    environ: dict[str, str], server: str | None
) -> None:
    assert load(Settings, environ=environ).server_url == server


def test_the_data_directory_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    deep = tmp_path / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert load(Settings, environ={}).data_dir == tmp_path / ".understudy"
    assert load(Settings, environ={"UNDERSTUDY_DATA_DIR": "x"}).data_dir == deep / "x"


def test_the_project_is_the_nearest_directory_with_a_marker(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / "src").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert project_dir(inner / "src") == tmp_path
    (inner / ".git").mkdir()
    assert project_dir(inner / "src") == inner


def test_every_setting_has_a_name_and_a_help_text() -> None:
    told = describe(Settings)
    assert len({info.name for info in told}) == len(told) == len(Settings.model_fields)
    assert all(info.help.endswith(".") for info in told)
    assert {info.name for info in told if not info.name.startswith("UNDERSTUDY_")} == {
        "REDIS_URL",
        "BROKER_URL",
        "LOG_LEVEL",
        "LOG_FORMAT",
    }


def test_prefetch_is_said_for_all_queues_or_by_queue() -> None:
    settings = load(Settings, environ={"UNDERSTUDY_PREFETCH": "email=0,8"})
    assert [settings.prefetch_of(name) for name in ("email", "export")] == [0, 8]
    assert load(Settings, environ={"UNDERSTUDY_PREFETCH": "email=0"}).prefetch_of("export") is None
    assert load(Settings, environ={}).prefetch_of("email") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("many", "holds 'many', which is neither a whole number nor queue=number"),
        ("email=-1", "holds 'email=-1'"),
        ("email=1,email=2", "names the queue 'email' twice"),
        ("1,2", "two numbers for all queues"),
    ],
)
def test_a_wrong_prefetch_is_told(text: str, said: str) -> None:
    (problem,) = problems(UNDERSTUDY_PREFETCH=text)
    assert said in problem
    assert "email=0,export=2,8" in problem
