from pathlib import Path

import pytest

from tasks.adapters.database_settings import DatabaseSettings, check_database_url
from understudy.errors import SettingsError
from understudy.settings import load


def problem(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(DatabaseSettings, environ=environ)
    return "\n".join(caught.value.problems)


def test_without_any_setting_tables_are_in_a_file_of_the_project(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERSTUDY_DATA_DIR", str(tmp_path))
    assert load(DatabaseSettings, environ={}).effective_url == f"sqlite:///{tmp_path}/tables.sqlite"


def test_every_setting_comes_from_the_environment() -> None:
    environ = {"DATABASE_URL": "postgresql://h/db", "DATABASE_POOL_SIZE": "2", "DATABASE_TIMEOUT": "5s"}
    settings = load(DatabaseSettings, environ=environ)
    assert (settings.effective_url, settings.pool_size, settings.timeout) == ("postgresql://h/db", 2, 5.0)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///data/t.sqlite",
        "sqlite:////abs/t.sqlite",
        "postgresql://h/db",
        "postgresql+psycopg://ada:p%40ss@h:5432/db?sslmode=require",
        "postgres://[::1]:5432/db",
    ],
)
def test_sqlite_and_postgresql_are_databases(url: str) -> None:
    assert check_database_url(f" {url} ") == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://h/db", "neither SQLite nor PostgreSQL"),
        ("sqlite://", "neither"),
        ("postgresql://h", "names no database"),
        ("postgresql://h/?sslmode=require", "names no database"),
        ("postgresql://ada:secret:word@h:1:2/db", "no usable port"),
    ],
)
def test_another_url_is_refused_without_its_password(url: str, why: str) -> None:
    told = problem(DATABASE_URL=url)
    assert why in told
    assert "write sqlite:///" in told
    assert "secret" not in told


def test_the_password_is_not_shown() -> None:
    settings = load(DatabaseSettings, environ={"DATABASE_URL": "postgresql://ada:secret@h/db"})
    assert "secret" not in repr(settings)


def test_a_misspelt_name_is_told() -> None:
    assert "did you mean DATABASE_POOL_SIZE" in problem(DATABASE_POOLSIZE="3")
