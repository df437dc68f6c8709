"""``understudy pipeline``, with a real worker that has the real flow."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from understudy.testing.conditions import wait_until

from .helpers import Ended, Here, Running, environment, there, worker

PEOPLE = "id,name\n" + "".join(f"{number},Person {number}\n" for number in range(1, 3_001)) + "x,Nobody\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def env(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A worker that has the flow is running."""
    data = tmp_path_factory.mktemp("server")
    env = environment(data, UNDERSTUDY_MODULES="tasks,workflows", FILES_ROOT=str(root))
    with worker(env, data / "worker.log"):
        yield env


def loaded(root: Path, database: str) -> int:
    with closing(sqlite3.connect(root / database)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM people").fetchone()[0])


def run(env: dict[str, str], root: Path, database: str, *words: str) -> Ended:
    source = root / f"{database}.csv"
    source.write_text(PEOPLE)
    given = ("--into", f"sqlite:///{database}", "--table", "people", "--key", "id", "--chunk-rows", "500")
    return there(env, "pipeline", "run", str(source), *given, *words)


def test_a_file_is_loaded_and_its_summary_told(env: dict[str, str], root: Path) -> None:
    said = run(env, root, "one.sqlite")
    assert said.code == 0, said.err
    assert "3,000 rows loaded into people, of 3,001" in said.text
    assert "1 rows were refused:" in said.text
    assert loaded(root, "one.sqlite") == 3_000


def test_a_run_that_failed_says_why_and_goes_on_when_it_is_resumed(env: dict[str, str], root: Path) -> None:
    with closing(sqlite3.connect(root / "three.sqlite")) as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT CHECK (id <> 700))")
    said = run(env, root, "three.sqlite")
    assert said.code == 1
    assert "DatabaseRefused: " in said.err
    assert "CHECK constraint failed" in said.err
    assert loaded(root, "three.sqlite") == 2_500  # all the other chunks
    again = re.search(r"understudy pipeline resume (\S+)", said.err)
    assert again is not None
    with closing(sqlite3.connect(root / "three.sqlite")) as connection:
        connection.executescript(
            "ALTER TABLE people RENAME TO old; CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);"
            "INSERT INTO people SELECT * FROM old"
        )
    resumed = there(env, "pipeline", "resume", again[1])
    assert resumed.code == 0, resumed.err
    assert "3,000 rows loaded" in resumed.text
    assert loaded(root, "three.sqlite") == 3_000
    assert there(env, "pipeline", "resume", again[1]).code == 1  # it has succeeded


def test_ctrl_c_lets_it_go_on_and_says_how_to_come_back(env: dict[str, str], root: Path, tmp_path: Path) -> None:
    source = root / "four.csv"
    source.write_text(PEOPLE)
    # Somebody else is writing, so the run does not end before it is left.
    with closing(sqlite3.connect(root / "four.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        words = ("-m", "understudy.cli", "pipeline", "run", str(source), "--into", "sqlite:///four.sqlite")
        with Running(env, tmp_path / "log", *words, "--table", "people") as command:
            wait_until(lambda: "ready-" in str(list(root.rglob("*.parquet"))), timeout=30, what="chunks to be loaded")
            command.tell(signal.SIGINT)
            assert command.wait() == 1
            told = command.said
        other.execute("ROLLBACK")
    assert "It goes on all the same." in told
    name = re.search(r"understudy pipeline follow (\S+)", told)
    assert name is not None
    assert f"understudy revoke {name[1]}" in told
    followed = there(env, "pipeline", "follow", name[1], "--json")
    assert followed.code == 0, followed.err
    assert json.loads(followed.out)["loaded"] == 3_000 == loaded(root, "four.sqlite")


def test_a_run_is_stopped_by_revoking_it(env: dict[str, str], root: Path) -> None:
    with closing(sqlite3.connect(root / "five.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        name = run(env, root, "five.sqlite", "--detach").out.strip()
        assert "REVOKED" in there(env, "revoke", name).text
        other.execute("ROLLBACK")
    followed = there(env, "pipeline", "follow", name)
    assert followed.code == 1
    assert "the run was revoked" in followed.err


def test_a_server_is_named_by_a_variable_and_no_password_leaves(here: Here) -> None:
    for url in (
        "postgresql://h/db",
        "postgresql://ada:secret@h/db",
        "postgresql://h/db?p%61ssword=secret",
        "mysql://h/secret",
    ):
        said = here("pipeline", "run", "a.csv", "--table", "t", "--into", url)
        assert said.code == 2
        assert "env:WAREHOUSE_URL" in said.err
        assert "secret" not in said.err


def test_a_column_without_a_kind_is_told(here: Here) -> None:
    said = here("pipeline", "run", "a.csv", "--table", "t", "--column", "id")
    assert said.code == 2
    assert "--column 'id' is not a name and a kind" in said.err


def test_a_file_outside_of_the_root_and_an_unknown_run_are_told(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(PEOPLE)
    said = there(env, "pipeline", "run", str(tmp_path / "a.csv"), "--table", "people")
    assert said.code == 1
    assert "FileRefused: " in said.err
    assert "FILES_ROOT" in said.err
    unknown = there(env, "pipeline", "follow", "pipeline-nowhere")
    assert unknown.code == 2
    assert "no run 'pipeline-nowhere' is known" in unknown.err
