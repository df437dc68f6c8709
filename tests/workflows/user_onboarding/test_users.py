"""What is known of a user."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.tasks.stores import Unsteady
from workflows.user_onboarding.users import known, note, settings_of


@pytest.mark.usefixtures("unsteady")
def test_of_a_stranger_nothing_is_known() -> None:
    assert set(known("ada").values()) == {None}
    assert settings_of("ada") == {}


def test_what_happened_keeps_the_time_when_it_happened_first(
    unsteady: Unsteady, freezer: FrozenDateTimeFactory
) -> None:
    note("ada", "welcomed_at")
    first = known("ada")["welcomed_at"]
    freezer.tick(60)
    note("ada", "welcomed_at")
    note("ada", "left_at")
    assert known("ada")["welcomed_at"] == first
    assert known("ada")["left_at"] != first
    assert known("grace")["left_at"] is None
