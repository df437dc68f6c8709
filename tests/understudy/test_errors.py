"""The tree of errors is drawn once, and every error says something."""

import inspect
import pickle

import dramatiq
import pytest
from dramatiq.middleware import MiddlewareError

from understudy import errors
from understudy.errors import (
    DeclarationError,
    HandBack,
    LimitsConflict,
    RemoteError,
    SerializationError,
    SettingsError,
    UnderstudyError,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


def test_every_error_is_in_the_one_tree() -> None:
    assert [kind.__name__ for kind in ALL if not issubclass(kind, UnderstudyError)] == []


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_drawn_and_described(kind: type[UnderstudyError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__doc__
    assert f"{kind.__name__}\n" in errors.__doc__ or f"{kind.__name__} " in errors.__doc__


def test_the_number_of_wrong_settings_is_said() -> None:
    assert str(SettingsError(["A is wrong"])) == "1 setting is wrong:\n  - A is wrong"
    assert str(SettingsError(["A", "B"])).startswith("2 settings are wrong:")


def test_a_refused_value_is_a_type_error_with_its_path() -> None:
    error = SerializationError("args[0]", "is a set")
    assert isinstance(error, TypeError)
    assert (error.path, error.reason, str(error)) == ("args[0]", "is a set", "args[0]: is a set")


def test_a_stand_in_reads_like_the_original() -> None:
    error = RemoteError("shop.OutOfStock", "no more tea", ("tea",))
    assert (type(error).__name__, str(error), error.args) == ("OutOfStock", "no more tea", ("tea",))
    assert (error.type_name, error.exc_args) == ("shop.OutOfStock", ("tea",))
    assert isinstance(error, RemoteError)
    assert type(error) is type(RemoteError("shop:OutOfStock", "no coffee"))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_a_name_that_is_none_gives_a_stand_in_without_one() -> None:
    assert type(RemoteError("not a name!", "x")) is RemoteError


def test_limits_that_cannot_be_together_are_a_value_error_too() -> None:
    assert issubclass(LimitsConflict, ValueError)
    assert issubclass(LimitsConflict, DeclarationError)


def test_a_hand_back_gets_past_dramatiqs_hooks_and_is_not_logged_as_an_error() -> None:
    error = HandBack("not now", delay=1.5)
    assert isinstance(error, MiddlewareError)
    assert isinstance(error, dramatiq.Retry)
    assert (error.delay, error.reason) == (1.5, "not now")
