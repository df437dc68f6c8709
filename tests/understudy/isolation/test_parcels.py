from __future__ import annotations

import pickle
import smtplib
from typing import Any

import dramatiq
import pytest

from tests.understudy.isolation.actors_for_tests import Awkward
from understudy.errors import BodyDied, HandBack, RemoteError, SerializationError
from understudy.exceptions import format_traceback
from understudy.isolation.parcels import pack, unpack


def travelled(exception: BaseException) -> BaseException:
    """What arrives on the other side."""
    return unpack(pickle.loads(pickle.dumps(pack(exception))))


@pytest.mark.parametrize(
    "exception",
    [
        ValueError("x", 1),
        KeyError("k"),
        SystemExit(3),
        FileNotFoundError(2, "nothing there", "/x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        smtplib.SMTPRecipientsRefused({"a@b": (550, b"no")}),
        HandBack("later", delay=2.5),
        BodyDied("it died"),
        SerializationError("args[0]", "is a lock"),
        dramatiq.Retry("again", delay=10),
    ],
    ids=lambda exception: type(exception).__name__,
)
def test_an_exception_arrives_as_it_was(exception: BaseException) -> None:
    copy = travelled(exception)
    assert type(copy) is type(exception)
    assert (str(copy), copy.args) == (str(exception), exception.args)
    assert vars(copy) == vars(exception)


def test_the_constructor_is_not_called_and_what_cannot_travel_is_left_out() -> None:
    copy: Any = travelled(Awkward(7))
    assert (type(copy), str(copy), copy.code) == (Awkward, "code 7", 7)
    assert not hasattr(copy, "lock")


def test_causes_travel_along() -> None:
    error = ValueError("top")
    error.__cause__ = KeyError("middle")
    error.__cause__.__cause__ = OSError(5, "bottom")
    copy = travelled(error)
    assert repr(copy.__cause__) == "KeyError('middle')"
    assert copy.__cause__ is not None
    assert repr(copy.__cause__.__cause__) == "OSError(5, 'bottom')"


def test_a_group_travels_with_its_members() -> None:
    copy = travelled(ExceptionGroup("two", [ValueError("one"), Awkward(2)]))
    assert isinstance(copy, ExceptionGroup)
    assert [str(member) for member in copy.exceptions] == ["one", "code 2"]


def test_a_class_that_is_not_known_is_replaced() -> None:
    class LocalError(Exception):
        pass

    copy = travelled(LocalError("x"))
    assert isinstance(copy, RemoteError)
    assert copy.type_name.endswith("LocalError")


class Liar(Exception):
    """Reads differently in another process."""

    calls = 0

    def __str__(self) -> str:
        Liar.calls += 1
        return f"call {Liar.calls}"


def test_a_copy_that_would_read_differently_is_replaced() -> None:
    copy = travelled(Liar())
    assert isinstance(copy, RemoteError)
    assert copy.message == "call 1"


def test_the_traceback_is_that_of_the_place_where_it_was_raised() -> None:
    try:
        raise ValueError("here") from KeyError("because")
    except ValueError as error:
        copy = travelled(error)
    assert "test_the_traceback_is_that" in format_traceback(copy)
    try:
        raise copy
    except ValueError as raised:
        text = format_traceback(raised)
    assert text.count("raise copy") == 0
    assert "KeyError: 'because'" in text
