"""Settings and a workspace, and how they are taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.tasks.stores import Unsteady
from understudy import handle
from understudy.actors import Actor
from workflows.user_onboarding.setup_defaults import (
    DEFAULTS,
    UserHasLeft,
    create_workspace,
    setup_defaults,
    undo_defaults,
    workspace_file,
)
from workflows.user_onboarding.users import known, note, settings_of, users

Drain = Callable[..., int]


def test_a_user_begins_with_defaults_and_what_is_set_stays(drain: Drain, unsteady: Unsteady) -> None:
    setup_defaults.send("ada", "de")
    drain()
    assert settings_of("ada") == DEFAULTS | {"language": "de"}
    with users().transaction() as transaction:
        transaction.execute("UPDATE onboarding_settings SET value = 'pro' WHERE name = 'plan'")
    setup_defaults.fn("ada", "en")
    assert settings_of("ada") == DEFAULTS | {"language": "de", "plan": "pro"}


def test_a_workspace_is_made_and_made_again_the_same(drain: Drain, unsteady: Unsteady) -> None:
    message = create_workspace.send("../ada", unsteady.url)
    drain()
    url = handle(message).get()
    assert url == workspace_file("../ada", unsteady.url)
    assert unsteady.read(url).startswith("step,done\r\nsay hello,false\r\n")
    assert create_workspace.fn("../ada", unsteady.url) == url
    assert len(unsteady.names()) == 1
    assert known("../ada")["prepared_at"] is not None


def test_both_can_be_taken_back_also_when_nothing_is_there(drain: Drain, unsteady: Unsteady) -> None:
    for user_id in ("ada", "grace"):
        setup_defaults.fn(user_id)
        create_workspace.fn(user_id, unsteady.url)
    message = undo_defaults.send("ada", unsteady.url)
    drain()
    assert handle(message).get() == len(DEFAULTS)
    assert settings_of("ada") == {}
    assert known("ada")["prepared_at"] is None
    assert settings_of("grace") == DEFAULTS
    assert unsteady.names() == [workspace_file("grace", "").removeprefix("/")]
    assert undo_defaults.fn("ada", unsteady.url) == 0


@pytest.mark.parametrize("actor", [setup_defaults, create_workspace])
def test_nothing_is_set_up_for_who_has_left(actor: Actor[..., Any], drain: Drain, unsteady: Unsteady) -> None:
    note("ada", "left_at")
    message = actor.send("ada", *([unsteady.url] if actor is create_workspace else []))
    drain()
    with pytest.raises(UserHasLeft):
        handle(message).get()
    assert settings_of("ada") == {}
    assert unsteady.names() == []


def test_who_leaves_while_a_workspace_is_made_has_none(drain: Drain, unsteady: Unsteady) -> None:
    unsteady.on_open = lambda path: note("ada", "left_at")
    message = create_workspace.send("ada", unsteady.url)
    drain()
    with pytest.raises(UserHasLeft):
        handle(message).get()
    assert unsteady.names() == []


def test_what_was_set_up_again_is_taken_back_again(
    drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady
) -> None:
    for _ in range(2):
        create_workspace.fn("ada", unsteady.url)
        undo_defaults.send("ada", unsteady.url)
        drain()
        assert unsteady.names() == []
        freezer.tick(60)
