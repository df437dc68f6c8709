"""Transactions, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import traceback
import tracemalloc
from pathlib import Path

import pytest

from tasks.adapters.database import Database, close_databases, open_database, url_of
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.database_settings import DatabaseSettings
from understudy.settings import load


@pytest.fixture
def table(database: Database) -> Database:
    with database.transaction() as transaction:
        transaction.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word VARCHAR(20) NOT NULL)")
    return database


def count(database: Database) -> int:
    with database.reading() as transaction:
        return int(transaction.scalar("SELECT COUNT(*) FROM t"))


def test_what_is_done_in_a_transaction_is_done_together_or_not_at_all(table: Database) -> None:
    with table.transaction() as transaction:
        rows = [{"id": number, "word": "a"} for number in range(3)]
        assert transaction.execute("INSERT INTO t VALUES (:id, :word)", rows) == 3
        assert transaction.execute("UPDATE t SET word = :word WHERE id > :id", word="b", id=0) == 2
    with pytest.raises(ZeroDivisionError), table.transaction() as transaction:
        transaction.execute("DELETE FROM t WHERE id >= :id", id=1 // (transaction.execute("DELETE FROM t") - 3))
    with table.reading() as transaction:
        words = "SELECT word FROM t ORDER BY id"
        assert [row["word"] for row in transaction.select(words)] == ["a", "b", "b"]


def test_reading_cannot_write(table: Database) -> None:
    with pytest.raises(DatabaseRefused), table.reading() as transaction:
        transaction.execute("INSERT INTO t VALUES (1, 'a')")
    assert count(table) == 0
    with table.transaction() as transaction:  # the same connection may write again
        transaction.execute("INSERT INTO t VALUES (1, 'a')")
    assert count(table) == 1


def test_what_the_database_refuses_is_told_without_the_row(table: Database) -> None:
    twice = [{"id": 1, "word": "hush"}] * 2
    with pytest.raises(DatabaseRefused) as caught, table.transaction() as transaction:
        transaction.execute("INSERT INTO t VALUES (:id, :word)", twice)
    assert "unique" in str(caught.value).lower()
    told = "".join(traceback.format_exception_only(caught.value)) + str(caught.value.__cause__)
    for quoted in ("hush", "INSERT"):
        assert quoted not in told
    assert caught.value.__suppress_context__


def test_a_mistake_in_sql_is_final(database: Database) -> None:
    with pytest.raises(DatabaseRefused), database.transaction() as transaction:
        transaction.execute("SELEKT 1")
    with pytest.raises(DatabaseRefused), database.reading() as transaction:
        transaction.select("SELECT * FROM nowhere")


def test_a_stream_holds_a_part_of_its_rows(table: Database) -> None:
    with table.transaction() as transaction:
        rows = [{"id": number, "word": "x" * 20} for number in range(40_000)]
        transaction.execute("INSERT INTO t VALUES (:id, :word)", rows)
    del rows
    next(table.stream("SELECT * FROM t"))  # left in the middle, it gives its connection back
    tracemalloc.start()
    numbers = [row["id"] for row in table.stream("SELECT * FROM t WHERE id >= :low ORDER BY id", low=0, batch=500)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert numbers == list(range(40_000))
    assert peak < 5 * 1024**2


def test_two_writers_wait_for_one_another(table: Database) -> None:
    with table.transaction() as transaction:
        transaction.execute("INSERT INTO t VALUES (1, '0')")

    def add() -> None:
        for _ in range(20):
            with table.transaction() as transaction:
                word = transaction.select("SELECT word FROM t WHERE id = 1" + lock)[0]["word"]
                transaction.execute("UPDATE t SET word = :word", word=str(int(word) + 1))

    lock = " FOR UPDATE" if table.engine.dialect.name == "postgresql" else ""
    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with table.reading() as transaction:
        assert transaction.scalar("SELECT word FROM t") == "80"


def test_a_file_that_another_writer_keeps_for_too_long_is_a_passing_trouble(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.sqlite"
    first, second = Database(url), Database(url, load(DatabaseSettings, environ={"DATABASE_TIMEOUT": "0.05"}))
    with first.transaction() as transaction:
        transaction.execute("CREATE TABLE t (id INTEGER)")
    with (
        first.transaction(),
        pytest.raises(DatabaseUnavailable, match="locked"),
        second.transaction() as transaction,
    ):
        transaction.execute("INSERT INTO t VALUES (1)")
    # Who only reads does not wait.
    with first.transaction(), second.reading() as transaction:
        assert transaction.scalar("SELECT COUNT(*) FROM t") == 0
    first.close()
    second.close()


def test_a_database_that_is_away_is_a_passing_trouble() -> None:
    away = Database("postgresql://ada:secret@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailable) as caught, away.reading() as transaction:
        transaction.scalar("SELECT 1")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(away)
    away.close()


def test_a_connection_that_the_server_closed_is_made_anew(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.reading() as transaction:
        backend = transaction.scalar("SELECT pg_backend_pid()")
    other = Database(postgres_url)
    with other.transaction() as transaction:
        transaction.execute("SELECT pg_terminate_backend(:backend)", backend=backend)
    with database.reading() as transaction:
        assert transaction.scalar("SELECT pg_backend_pid()") != backend
    cut = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(DatabaseUnavailable), database.transaction() as transaction:
        transaction.scalar(cut)
    database.close()
    other.close()


# -- which database a message means -----------------------------------------------------------------------------


def test_nothing_said_is_the_database_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@h/db")
    assert url_of(None) == "postgresql://ada:secret@h/db"


def test_a_variable_of_the_worker_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://ada:secret@h/db")
    assert url_of("env:WAREHOUSE_URL") == "postgresql://ada:secret@h/db"
    monkeypatch.setenv("AWS_SECRET", "postgresql://x/y")
    monkeypatch.setenv("OTHER_URL", "mysql://ada:secret@h/db")
    for name in ("env:AWS_SECRET", "env:NOWHERE_URL", "env:OTHER_URL"):
        with pytest.raises(DatabaseRefused) as caught:
            url_of(name)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/db",
        "postgresql://ada@h/db",
        "postgres://h/db",
        "postgresql+psycopg://h/db",
        "postgresql://ada:secret@h/db",
        "postgresql://h/db?password=secret",
        "postgresql://h/db?p%61ssword=secret",
        "mysql://ada:secret@h/db",
        "secret",
    ],
)
def test_a_message_chooses_no_server(url: str) -> None:
    """Whoever may send a message could have the password of the worker's environment, and reach what only it can."""
    with pytest.raises(DatabaseRefused, match="env:WAREHOUSE_URL") as caught:
        url_of(url)
    assert "secret" not in str(caught.value)


def test_a_file_of_sqlite_is_below_the_root_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FILES_ROOT", str(tmp_path))
    assert url_of("sqlite:///t.sqlite") == f"sqlite:///{tmp_path}/t.sqlite"
    with pytest.raises(ValueError, match="FILES_ROOT"):
        url_of("sqlite:////etc/t.sqlite")
    monkeypatch.setenv("FILES_PROTOCOLS", "memory")
    with pytest.raises(DatabaseRefused, match="no file of this machine"):
        url_of("sqlite:///memory://etc/t.sqlite")


def test_a_process_opens_a_database_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FILES_ROOT", str(tmp_path))
    assert open_database("sqlite:///t.sqlite") is open_database("sqlite:///./t.sqlite")
    assert open_database("sqlite:///t.sqlite") is not open_database("sqlite:///other.sqlite")
    close_databases()
