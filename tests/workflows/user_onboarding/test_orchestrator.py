"""From sign-up to follow-up, and out again."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.mail import MemoryMailer
from tests.tasks.stores import Unsteady
from understudy import WorkflowHandle
from workflows.user_onboarding import leave, onboard, onboarding
from workflows.user_onboarding.orchestrator import SOME_DAYS
from workflows.user_onboarding.setup_defaults import DEFAULTS
from workflows.user_onboarding.users import known, settings_of

Drain = Callable[..., int]
MAIL = "ada@lovelace.example"


def begin(unsteady: Unsteady, **options: Any) -> WorkflowHandle:
    return onboard("ada", MAIL, "Ada", root=unsteady.url, **options)


def branches(found: WorkflowHandle) -> list[Any]:
    assert found.parent is not None
    return list(found.parent.get(propagate=False))


def test_a_user_is_welcomed_and_set_up_at_once_and_asked_some_days_later(
    drain: Drain, smtp: MemoryMailer, unsteady: Unsteady, freezer: FrozenDateTimeFactory
) -> None:
    found = begin(unsteady, language="de")
    drain()
    assert smtp.delivered == [MAIL]
    assert settings_of("ada")["language"] == "de"
    assert branches(found) == [True, *[f"{unsteady.url}/{name}" for name in unsteady.names()]]
    assert found.waiting()
    freezer.tick(SOME_DAYS - timedelta(minutes=1))
    drain()
    assert len(smtp.messages) == 1
    freezer.tick(timedelta(minutes=2))
    drain()
    assert [mail["Subject"] for mail in smtp.messages] == ["Welcome", "How is it going?"]
    assert found.get() is True


def test_a_user_who_is_signed_up_twice_is_onboarded_once(drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
    first, second = begin(unsteady), begin(unsteady)
    assert first.workflow_id == second.workflow_id
    drain()
    assert smtp.delivered == [MAIL]


def test_a_welcome_that_cannot_be_sent_does_not_undo_the_workspace(
    drain: Drain, smtp: MemoryMailer, unsteady: Unsteady
) -> None:
    smtp.refuse(MAIL, 550, "5.1.1 no such user")
    found = begin(unsteady)
    drain()
    refused, workspace = branches(found)
    assert isinstance(refused, smtplib.SMTPRecipientsRefused)
    assert workspace.startswith(unsteady.url)
    assert settings_of("ada") == DEFAULTS
    assert not found.ready()  # the follow-up comes all the same


def test_settings_are_taken_back_when_the_workspace_cannot_be_made(
    drain: Drain, smtp: MemoryMailer, unsteady: Unsteady
) -> None:
    found = begin(unsteady)
    unsteady.fail_next(PermissionError("the store is read-only"))
    drain()
    welcome, workspace = branches(found)
    assert welcome is True
    assert isinstance(workspace, PermissionError)
    assert settings_of("ada") == {}
    assert smtp.delivered == [MAIL]


def test_who_leaves_gets_no_more_mail_and_leaves_nothing_behind(
    drain: Drain, smtp: MemoryMailer, unsteady: Unsteady, freezer: FrozenDateTimeFactory
) -> None:
    found = begin(unsteady)
    drain()
    leave("ada", root=unsteady.url)
    assert found.status == "REVOKED"
    drain()
    freezer.tick(2 * SOME_DAYS)
    drain()
    assert smtp.delivered == [MAIL]
    assert settings_of("ada") == {}
    assert unsteady.names() == []
    assert known("ada")["left_at"] is not None


@pytest.mark.usefixtures("unsteady")
def test_who_was_never_onboarded_may_leave_too(drain: Drain) -> None:
    leave("grace")
    drain()
    assert not onboarding("grace").exists()
    assert known("grace")["left_at"] is not None
