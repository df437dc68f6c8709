from __future__ import annotations

import dramatiq
import pytest

from understudy.errors import HandBack, LeaseLost, NotYet, ServerUnavailable
from understudy.exception_groups import deciding, members, names_groups

VALUE, KEY = ValueError("v"), KeyError("k")


def test_the_members_of_groups_in_groups_are_members() -> None:
    assert members(VALUE) == [VALUE]
    assert members(ExceptionGroup("a", [VALUE, ExceptionGroup("b", [KEY])])) == [VALUE, KEY]


def test_a_group_of_failures_decides_itself() -> None:
    group = ExceptionGroup("a", [VALUE, KEY])
    assert deciding(group) is group
    assert deciding(VALUE) is VALUE


@pytest.mark.parametrize("error", [LeaseLost("x"), ServerUnavailable("x"), NotYet("x"), dramatiq.Retry()])
def test_what_is_no_failure_decides_out_of_a_group(error: Exception) -> None:
    assert deciding(BaseExceptionGroup("a", [SystemExit(1), ExceptionGroup("b", [VALUE, error])])) is error


def test_whose_message_it_is_comes_before_all_others() -> None:
    lost = LeaseLost("x")
    assert deciding(ExceptionGroup("a", [dramatiq.Retry(), HandBack("x"), lost])) is lost


def test_conditions_that_name_groups_mean_groups() -> None:
    assert names_groups(ExceptionGroup)
    assert names_groups((ValueError, BaseExceptionGroup))
    assert not names_groups((Exception,))
    assert not names_groups(lambda error: True)
