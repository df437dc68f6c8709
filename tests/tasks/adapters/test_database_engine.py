from pathlib import Path

import pytest

from tasks.adapters.database import Database
from tasks.adapters.database_engine import make_engine
from tasks.adapters.database_settings import DatabaseSettings
from understudy.settings import load


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    settings = load(DatabaseSettings, environ={"DATABASE_TIMEOUT": "7"})
    database = Database(f"sqlite:///{tmp_path}/deep/er/t.sqlite", settings)
    with database.reading() as transaction:
        found = [
            transaction.scalar(f"PRAGMA {name}")
            for name in ("journal_mode", "busy_timeout", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 7_000, 2, 1]
    database.close()


@pytest.mark.parametrize("url", ["postgresql://h/db", "postgres://h/db", "postgresql+psycopg://h/db"])
def test_postgresql_is_reached_by_the_driver_that_is_installed(url: str) -> None:
    engine = make_engine(url, load(DatabaseSettings, environ={}))
    assert engine.dialect.driver == "psycopg"
