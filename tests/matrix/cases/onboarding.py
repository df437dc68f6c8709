"""The steps for a new user. What fails is the mail server, the store of files, or the database, that of SQLite: another
writer keeps it."""

from __future__ import annotations

import smtplib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.database_errors import DatabaseUnavailable
from tasks.adapters.mail import Email, MemoryMailer
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.excuses import NO_COLLECTION, SHORT_WORK
from tests.tasks.stores import Unsteady
from understudy import chain, handle
from understudy.actors import Actor, declared
from understudy.errors import TimeLimitExceeded
from workflows.user_onboarding.follow_up import send_follow_up
from workflows.user_onboarding.send_welcome import send_welcome
from workflows.user_onboarding.setup_defaults import (
    DEFAULTS,
    UserHasLeft,
    create_workspace,
    setup_defaults,
    undo_defaults,
    workspace_file,
)
from workflows.user_onboarding.users import Moment, known, note, settings_of, users

Drain = Callable[..., int]

ADA = ("ada", "ada@lovelace.example", "Ada")
#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 900


def tries(actor: Actor[..., Any]) -> int:
    policy = declared(actor).retry
    return 1 if policy is None else 1 + (policy.max_retries or 0)


@contextmanager
def taken(unsteady: Unsteady) -> Iterator[None]:
    """Somebody else writes to the database and does not come to an end."""
    users()
    with closing(sqlite3.connect(unsteady.database, isolation_level=None)) as other:
        with users().engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class _Mail(Entry):
    """A step that mails."""

    _actor: Actor[..., Any]
    _moment: Moment

    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        message = self._actor.send(*ADA)
        smtp.fail_next(smtplib.SMTPException("down"))
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() is True
        assert smtp.delivered == [ADA[1]]

        smtp.fail_next(smtplib.SMTPConnectError(421, "closed for the day"), times=tries(self._actor))
        hopeless = self._actor.send("grace", "grace@hopper.example", "Grace")
        for _ in range(tries(self._actor)):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).retries == tries(self._actor) - 1
        with pytest.raises(smtplib.SMTPConnectError, match="closed for the day"):
            handle(hopeless).get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        def hang(email: Email) -> None:
            freezer.tick(121)

        smtp.on_send = hang
        message = self._actor.send(*ADA)
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 120 s"):
            handle(message).get()
        assert handle(message).retries == 0

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        smtp.refuse(ADA[1], 550, "5.1.1 no such user")
        later = setup_defaults.message_with_options(args=("ada",), immutable=True)
        found = chain(self._actor.message(*ADA), later).run()
        drain()
        assert found.parent is not None
        assert [found.parent.status, found.status] == ["FAILURE", "FAILURE"]
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            found.get()
        assert settings_of("ada") == {}

    progress = SHORT_WORK

    def idempotency(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        first = self._actor.send(*ADA)
        drain()
        begun = known("ada")[self._moment]
        with users().transaction() as transaction:  # what the database remembers is not what is looked at here
            transaction.execute(f"UPDATE onboarding_users SET {self._moment} = NULL")
        again = self._actor.send("ada", "ada@elsewhere.example", "Ada")
        drain()
        assert begun is not None
        assert smtp.delivered == [ADA[1]]
        assert [handle(first).get(), handle(again).get()] == [True, True]


@matrix_entry("send_welcome")
class SendWelcome(_Mail):
    _actor = send_welcome
    _moment = "welcomed_at"


@matrix_entry("send_follow_up")
class SendFollowUp(_Mail):
    _actor = send_follow_up
    _moment = "followed_up_at"


class _Files(Entry):
    """A step that works on the store of files."""

    _actor: Actor[..., Any]

    def _args(self, unsteady: Unsteady) -> tuple[Any, ...]:
        return "ada", unsteady.url

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        raise NotImplementedError

    def _send(self, *args: Any) -> Message[Any]:
        return self._actor.send(*args)

    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        message = self._actor.send(*self._args(unsteady))
        unsteady.fail_next(ConnectionResetError("the store is away"))
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        self._shows(message, unsteady)

        unsteady.fail_next(ConnectionResetError("the store is away"), times=tries(self._actor))
        hopeless = self._actor.send("grace", unsteady.url)
        for _ in range(tries(self._actor)):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).retries == tries(self._actor) - 1
        with pytest.raises(ConnectionResetError, match="store is away"):
            handle(hopeless).get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        message = self._actor.send(*self._args(unsteady))
        unsteady.on_open = lambda path: freezer.tick(121)
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 120 s"):
            handle(message).get()
        assert handle(message).retries == 0

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        args = self._args(unsteady)
        unsteady.fail_next(PermissionError("read-only"))
        found = chain(self._actor.message(*args), send_welcome.message_with_options(args=ADA, immutable=True)).run()
        drain()
        assert found.parent is not None
        assert [found.parent.status, found.status] == ["FAILURE", "FAILURE"]
        with pytest.raises(PermissionError, match="read-only"):
            found.get()
        assert smtp.delivered == []

    progress = SHORT_WORK

    def idempotency(self, drain: Drain, unsteady: Unsteady) -> None:
        args = self._args(unsteady)
        first = self._send(*args)
        drain()
        self._shows(first, unsteady)
        opened = list(unsteady.opened)
        again = self._send(*args)
        drain()
        assert unsteady.opened == opened
        assert handle(again).get() == handle(first).get()


@matrix_entry("create_workspace")
class CreateWorkspace(_Files):
    _actor = create_workspace

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        assert handle(message).get() == workspace_file("ada", unsteady.url)
        assert unsteady.read(workspace_file("ada", unsteady.url)).startswith("step,done")


@matrix_entry("undo_defaults")
class UndoDefaults(_Files):
    _actor = undo_defaults

    def _args(self, unsteady: Unsteady) -> tuple[Any, ...]:
        for user_id in ("ada", "grace"):
            setup_defaults.fn(user_id)
            create_workspace.fn(user_id, unsteady.url)
        return super()._args(unsteady)

    def _send(self, *args: Any) -> Message[Any]:
        # It has no key of its own: who sends it again without one wants it done again.
        return self._actor.send_with_options(args=args, idempotency_key="undone")

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        assert handle(message).get() == len(DEFAULTS)
        assert settings_of("ada") == {}


@matrix_entry("setup_defaults")
class SetupDefaults(Entry):
    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        with taken(unsteady):
            message = setup_defaults.send("ada")
            drain()
            assert handle(message).status == "RETRY"
            freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() == DEFAULTS == settings_of("ada")

        with taken(unsteady):
            hopeless = setup_defaults.send("grace")
            for _ in range(tries(setup_defaults)):
                drain()
                freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).retries == tries(setup_defaults) - 1
        with pytest.raises(DatabaseUnavailable, match="locked"):
            handle(hopeless).get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        users()
        unsteady.on_transaction = lambda: freezer.tick(61)
        message = setup_defaults.send("ada")
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 60 s"):
            handle(message).get()
        assert handle(message).retries == 0

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, unsteady: Unsteady) -> None:
        note("ada", "left_at")
        later = create_workspace.message_with_options(args=("ada", unsteady.url), immutable=True)
        found = chain(setup_defaults.message("ada"), later).run()
        drain()
        assert found.parent is not None
        assert [found.parent.status, found.status] == ["FAILURE", "FAILURE"]
        with pytest.raises(UserHasLeft):
            found.get()
        assert unsteady.names() == []

    progress = SHORT_WORK

    def idempotency(self, drain: Drain, unsteady: Unsteady) -> None:
        first = setup_defaults.send("ada")
        drain()
        with users().transaction() as transaction:
            transaction.execute("DELETE FROM onboarding_settings")
        again = setup_defaults.send("ada", "de")
        drain()
        assert settings_of("ada") == {}
        assert handle(first).get() == handle(again).get() == DEFAULTS
