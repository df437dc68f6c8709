"""Exceptions come back as they were, or as a stand-in that reads the same."""

import json
import smtplib
import subprocess
import sys
import traceback
from typing import Any

import pydantic
import pytest
from dramatiq.middleware import TimeLimitExceeded as RaisedInTheBody
from hypothesis import given
from hypothesis import strategies as st

from understudy import errors, serialization
from understudy.errors import DecodeError, RemoteError
from understudy.exceptions import (
    MAX_DETAILS,
    MAX_TEXT,
    MAX_TRACEBACK,
    decode_exception,
    encode_exception,
    remember_traceback,
)
from understudy.exceptions import format_traceback as traceback_of


class Coded(Exception):
    """Its constructor does not take its args (S07)."""

    def __init__(self, code: int, *, retry_after: float) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.retry_after = retry_after


class Formatted(Exception):
    """Its constructor formats, so calling it with its args would format twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such user: {name}")


class Counted(Exception):
    made = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        Counted.made += 1


class MissingFile(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "missing", path)


class Composed(Exception):
    """Its text needs an attribute that cannot travel."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.response = response

    def __str__(self) -> str:
        return f"HTTP {self.response.status}"


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Guarded(Exception):
    @property
    def code(self) -> int:
        return 1


class Response:
    status = 503


def raised(act: Any) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it raises is the subject
        act()
    return caught.value


class Model(pydantic.BaseModel):
    age: int


def copied(error: BaseException) -> Exception:
    return decode_exception(encode_exception(error))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1, None),
        KeyError("who"),
        ZeroDivisionError(),
        OSError(2, "missing", "file.txt"),
        FileNotFoundError(2, "missing"),
        TimeoutError(),
        StopIteration(5),
        Coded(5, retry_after=1.5),
        Formatted("ada"),
        MissingFile("x.txt"),
        smtplib.SMTPResponseException(550, b"no"),
        smtplib.SMTPSenderRefused(501, b"no", "me@example.com"),
        smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"unknown"), "b@example.com": (451, b"later")}),
        smtplib.SMTPServerDisconnected("gone"),
        subprocess.CalledProcessError(1, ["a"], output=b"x"),
        raised(lambda: json.loads("{")),
        raised(lambda: int("x")),
        raised(lambda: b"\xff".decode()),
        raised(lambda: __import__("nothing_of_that_name")),
        errors.SettingsError(["a", "b"]),
        errors.SerializationError("args[0]", "is a set"),
        errors.RemoteError("shop.Closed", "closed", ("x",)),
        errors.HandBack("later", delay=2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_original_is_rebuilt_with_its_args_and_attributes(error: BaseException) -> None:
    copy = copied(error)
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))


@given(st.lists(st.text() | st.integers() | st.binary() | st.tuples(st.integers(), st.text()), max_size=4))
def test_any_args_read_the_same_afterwards(args: list[Any]) -> None:
    copy = copied(ValueError(*args))
    assert type(copy) is ValueError
    try:
        str(copy).encode()
        assert str(copy) == str(ValueError(*args)).encode(errors="backslashreplace").decode()
    except UnicodeEncodeError:
        pytest.fail("a lone surrogate got through")


def test_what_c_keeps_is_kept() -> None:
    copy = copied(MissingFile("x.txt"))
    assert isinstance(copy, MissingFile)
    assert (copy.errno, copy.filename) == (2, "x.txt")
    assert getattr(copied(smtplib.SMTPDataError(451, b"later")), "smtp_code", None) == 451


def test_no_constructor_of_a_users_class_is_called() -> None:
    error = Counted("a")
    made = Counted.made
    copied(error)
    assert Counted.made == made


def test_notes_survive() -> None:
    error = ValueError("a")
    error.add_note("while mailing")
    assert copied(error).__notes__ == ["while mailing"]


def test_arguments_that_cannot_travel_are_replaced_by_the_text() -> None:
    copy = copied(ValueError(Response))
    assert type(copy) is ValueError
    assert copy.args == (str(Response),)


def test_attributes_that_cannot_travel_are_left_out() -> None:
    error = Coded(5, retry_after=1.0)
    error.response = Response()  # type: ignore[attr-defined]
    assert vars(copied(error)) == {"code": 5, "retry_after": 1.0}


@pytest.mark.parametrize("error", [Composed(Response()), raised(lambda: Model(age="x"))])  # type: ignore[arg-type]
def test_what_would_not_read_the_same_becomes_a_stand_in(error: BaseException) -> None:
    copy = copied(error)
    assert isinstance(copy, RemoteError)
    assert copy.type_name.endswith(type(error).__name__)
    assert copy.message == str(error)


def test_a_stand_in_that_is_passed_on_becomes_the_original_where_it_is_known() -> None:
    error = errors.RemoteError("builtins:KeyError", "'a'", ("a",))
    assert type(copied(error)) is KeyError
    unknown = errors.RemoteError("shop:Closed", "closed", ("x",))
    assert type(copied(unknown)) is type(unknown)
    assert copied(copied(unknown)).type_name == "shop.Closed"  # type: ignore[attr-defined]


def test_an_attribute_that_cannot_be_set_does_no_harm() -> None:
    error = Guarded("a")
    error.__dict__["code"] = 5
    assert str(copied(error)) in ("a", f"{__name__}.Guarded: a")


def test_a_class_that_the_reader_cannot_import_becomes_a_stand_in() -> None:
    class Local(Exception):
        pass

    copy = copied(Local("a", 1))
    assert isinstance(copy, RemoteError)
    assert copy.type_name.endswith("Local")
    assert copy.exc_args == ("a", 1)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseExceptionGroup("g", [SystemExit()])]
)
def test_nothing_that_stops_a_process_is_raised_in_a_reader(error: BaseException) -> None:
    copy = copied(error)
    assert isinstance(copy, RemoteError)
    assert copy.type_name == f"builtins.{type(error).__name__}"


def test_a_reader_can_catch_a_time_limit() -> None:
    copy = copied(RaisedInTheBody())
    assert isinstance(copy, errors.TimeLimitExceeded)
    assert str(copy) == "the body was stopped at its time limit"


def test_a_text_that_cannot_be_had_does_not_hide_the_failure() -> None:
    copy = copied(Unreadable("a"))
    assert isinstance(copy, Unreadable)
    assert copy.args == ("a",)


def test_a_group_comes_back_with_its_members() -> None:
    copy = copied(ExceptionGroup("many", [ValueError("a"), ExceptionGroup("few", [Coded(1, retry_after=2)])]))
    assert isinstance(copy, ExceptionGroup)
    one, two = copy.exceptions
    assert (copy.message, type(one), str(one)) == ("many", ValueError, "a")
    assert isinstance(two, ExceptionGroup)
    assert isinstance(two.exceptions[0], Coded)


def test_a_group_that_is_too_large_keeps_its_text() -> None:
    error: ExceptionGroup[Exception] = ExceptionGroup("many", [ValueError(str(n)) for n in range(1_000)])
    copy = copied(error)
    assert isinstance(copy, RemoteError)
    assert copy.message == "many (1000 sub-exceptions)"
    for _ in range(10):
        error = ExceptionGroup("nested", [error])
    assert len(encode_exception(error)) < MAX_DETAILS


@pytest.mark.parametrize(
    "error", [ValueError("x" * 10**6), ValueError(["y" * 10**6]), Exception("ä\ud800" * 10**5), KeyError("z" * 10**6)]
)
def test_what_is_stored_is_bounded(error: Exception) -> None:
    data = encode_exception(error)
    assert len(data) < 2 * MAX_DETAILS
    assert len(str(decode_exception(data))) < 2 * MAX_TEXT


def test_args_that_contain_themselves_do_no_harm() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert str(copied(ValueError(loop))) == "[[...]]"


@pytest.mark.parametrize("wrong", [None, 5, [], {}, {"type": 1, "text": "a"}, {"type": "a:b", "text": "a", "args": 5}])
def test_what_was_not_written_here_is_a_decode_error(wrong: Any) -> None:
    with pytest.raises(DecodeError):
        decode_exception(serialization.dumps(wrong))


@pytest.mark.parametrize(
    "attributes", [5, {"__class__": "x"}, {"args": 5}, {"__traceback__": 1}, {"__cause__": "x"}, ["a"]]
)
def test_forged_attributes_do_no_harm(attributes: Any) -> None:
    data = serialization.dumps({"type": "builtins:ValueError", "text": "a", "args": ["a"], "attributes": attributes})
    assert isinstance(decode_exception(data), ValueError | RemoteError)


def test_a_forged_class_is_never_called() -> None:
    data = serialization.dumps({"type": "subprocess:Popen", "text": "a", "args": ["true"], "attributes": {}})
    assert isinstance(decode_exception(data), RemoteError)


def test_a_traceback_is_readable_and_bounded() -> None:
    def deep(n: int) -> None:
        if n:
            deeper(n - 1)
        raise ValueError("at the end \ud800")

    def deeper(n: int) -> None:
        deep(n)

    text = traceback_of(raised(lambda: deep(1)))
    assert text.startswith("Traceback (most recent call last):")
    assert "ValueError: at the end \\ud800" in text
    long = traceback_of(raised(lambda: deep(400)))
    assert len(long) < MAX_TRACEBACK + 100
    assert "characters left out" in long
    assert "ValueError: at the end" in long


def test_an_exception_of_the_standard_library_is_rebuilt_by_a_reader_that_has_not_imported_its_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encode_exception(smtplib.SMTPDataError(451, b"later"))
    monkeypatch.delitem(sys.modules, "smtplib")
    rebuilt = decode_exception(data)
    assert type(rebuilt).__name__ == "SMTPDataError"
    assert rebuilt.smtp_code == 451  # type: ignore[attr-defined]  # of a class that was imported anew


def test_a_traceback_from_another_process_takes_the_place_of_our_own() -> None:
    error = ValueError("top")
    error.__cause__ = KeyError("cause")
    remember_traceback(error, "what was there")
    assert traceback_of(error) == "what was there"
    assert error.__cause__ is not None, "causes are kept"
    logged = "".join(traceback.format_exception(error))
    assert "what was there" in logged
    assert "ValueError: top" in logged
