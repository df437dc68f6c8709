import pytest
from sqlalchemy import exc

from tasks.adapters.database_errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    database_may_work_later,
    translated,
)


class Driver(Exception):
    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("text", "state", "passes"),
    [
        ("deadlock detected", "40P01", True),
        ("terminating connection", "57P01", True),
        ("too many connections", "53300", True),
        ("lock not available", "55P03", True),
        ("duplicate key", "23505", False),
        ("no such table", "42P01", False),
        ("database is locked", None, True),
        ("disk I/O error", None, True),
        ("no such table: t", None, False),
        ("attempt to write a readonly database", None, False),
        ("file is not a database", None, False),
        ('connection failed: FATAL:  database "x" does not exist', None, False),
        ("connection refused", None, True),
    ],
)
def test_passing_trouble_is_told_from_a_refusal(text: str, state: str | None, passes: bool) -> None:
    error = translated(exc.OperationalError("SELECT hush", {}, Driver(f"{text}\nDETAIL: hush", state)), "db")
    assert isinstance(error, DatabaseUnavailable if passes else DatabaseRefused)
    assert database_may_work_later(error) is passes
    assert str(error) == f"db: {text}"


def test_a_broken_rule_is_final_whatever_the_driver_says() -> None:
    assert isinstance(translated(exc.IntegrityError("", {}, Driver("UNIQUE failed")), "db"), DatabaseRefused)


def test_other_errors_of_the_library_are_ours_too_and_those_of_others_are_not() -> None:
    assert isinstance(translated(exc.TimeoutError(), "db"), DatabaseUnavailable)
    assert isinstance(translated(exc.NoSuchTableError("t"), "db"), DatabaseRefused)
    assert translated(KeyError("x"), "db") is None
