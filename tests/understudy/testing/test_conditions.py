"""``wait_until`` returns when it may and fails when it must."""

from __future__ import annotations

import pytest

from understudy.testing.conditions import wait_until


def test_it_returns_as_soon_as_the_condition_holds() -> None:
    looks = iter([False, False, True])
    wait_until(lambda: next(looks))
    assert next(looks, "none left") == "none left"


def test_it_fails_when_the_condition_never_holds_and_says_which() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 seconds: the moon"):
        wait_until(lambda: False, timeout=0.05, what="the moon")
