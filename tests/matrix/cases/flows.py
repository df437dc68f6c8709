"""The two flows, as a whole: what fails is in one of their steps, and what is asked for is what came of all."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.database import open_database
from tasks.adapters.mail import Email, MemoryMailer
from tasks.adapters.tables import count, rows
from tests.matrix.entries import Entry, matrix_entry
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.jobs import PEOPLE
from understudy import WorkflowHandle, chain, handle
from understudy.errors import TimeLimitExceeded
from understudy.testing.enqueued import Enqueued
from workflows.data_pipeline.orchestrator import run_pipeline
from workflows.data_pipeline.validate import TooManyBadRows
from workflows.user_onboarding import onboard
from workflows.user_onboarding.follow_up import send_follow_up
from workflows.user_onboarding.orchestrator import SOME_DAYS
from workflows.user_onboarding.send_welcome import send_welcome
from workflows.user_onboarding.setup_defaults import DEFAULTS
from workflows.user_onboarding.users import known, note, settings_of, users

Drain = Callable[..., int]

#: Seconds; longer than any wait between two tries; and more tries than any step has.
LONG_ENOUGH, TRIES = 900, 14
ADA = ("ada", "ada@lovelace.example", "Ada")


def until_over(drain: Drain, freezer: FrozenDateTimeFactory, tries: int = TRIES) -> None:
    for _ in range(tries):
        drain()
        freezer.tick(LONG_ENOUGH)


@matrix_entry("workflow:data_pipeline")
class DataPipeline(Entry):
    def _run(self, unsteady: Unsteady, **options: Any) -> WorkflowHandle:
        """Six people, of whom two are bad, in chunks of two."""
        given: dict[str, Any] = {
            "key": ["id"],
            "columns": {"id": "integer", "name": "text!", "born": "date"},
            "chunk_rows": 2,
            "max_bad": 0.5,
            "work": f"{unsteady.url}/work",
            "quarantine": f"{unsteady.url}/quarantine",
        }
        source = unsteady.put("people.csv", PEOPLE)
        return chain(run_pipeline.message(source, "people", **given | options)).run()

    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        failing: dict[str, int] = {"valid-000001": 1, "ready-000002": 2}

        def look(path: str) -> None:
            for name, left in failing.items():
                if left and name in path:
                    failing[name] -= 1
                    raise ConnectionResetError("the store is away")

        unsteady.on_open = look
        found = self._run(unsteady)
        drain()
        assert not found.ready()  # a step waits for its retry, and the whole with it
        until_over(drain, freezer, 4)
        assert failing == {"valid-000001": 0, "ready-000002": 0}
        assert (found.get()["loaded"], found.get()["bad"]) == (4, 2)

        failing["ready-000000"] = 1_000
        hopeless = self._run(unsteady)
        until_over(drain, freezer)
        assert hopeless.status == "FAILURE"
        with pytest.raises(ConnectionResetError, match="store is away"):
            hopeless.get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        unsteady.on_open = lambda path: freezer.tick(901) if "ready-000001" in path else None
        found = self._run(unsteady)
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 900 s"):
            found.get()

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        with open_database().transaction() as transaction:
            check = "CHECK (name <> 'Ada')"
            transaction.execute(f"CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT {check}, born DATE)")
        found = self._run(unsteady, policy="partial")
        drain()
        summary = found.get()
        assert (summary["bad"], summary["loaded"], len(summary["failed"])) == (2, 3, 1)
        assert "Ada" not in [row["name"] for row in rows(open_database(), "people", key=["id"])]

    def chain_stop(self, drain: Drain, unsteady: Unsteady, enqueued: Enqueued) -> None:
        found = self._run(unsteady, max_bad=0.1)
        drain()
        assert found.status == "FAILURE"
        with pytest.raises(TooManyBadRows):
            found.get()
        assert enqueued.begun == {"run_pipeline", "validate_chunk", "admit_chunks"}

    def progress(self, drain: Drain, unsteady: Unsteady) -> None:
        found = self._run(unsteady)
        seen: list[Any] = []
        unsteady.on_open = lambda path: seen.append((found.status, self._checked(found)))
        drain()
        assert [status for status, _ in seen] == ["STARTED"] * len(seen)
        assert {0, 1, 2, 3} <= {checked for _, checked in seen}

    def _checked(self, found: WorkflowHandle) -> int:
        """How many chunks have been checked, as whoever looks at the run sees it."""
        told = found.flow.storage.call("HKEYS", found.flow.storage.keys.workflow(found.workflow_id))
        groups = sorted(int(name[1:]) for name in told if name.startswith(b"d"))
        counts = found.flow.counts(groups[0]) if groups else None
        return 0 if counts is None else sum(counts)

    def idempotency(self, drain: Drain, unsteady: Unsteady) -> None:
        source = unsteady.put("people.csv", PEOPLE)
        options = {"work": f"{unsteady.url}/work", "quarantine": f"{unsteady.url}/quarantine", "key": ["id"]}
        given: Any = {"args": (source, "people"), "kwargs": {"max_bad": 0.5, **options}, "idempotency_key": "once"}
        first = run_pipeline.send_with_options(**given)
        drain()
        with open_database().transaction() as transaction:
            transaction.execute("UPDATE people SET name = 'changed since'")
        again = run_pipeline.send_with_options(**given)
        drain()
        assert handle(first).get()["loaded"] == handle(again).get()["loaded"] == count(open_database(), "people")
        assert {row["name"] for row in rows(open_database(), "people", key=["id"])} == {"changed since"}


@matrix_entry("workflow:user_onboarding")
class UserOnboarding(Entry):
    def _begin(self, unsteady: Unsteady) -> WorkflowHandle:
        return onboard(*ADA, root=unsteady.url)

    def _branches(self, found: WorkflowHandle) -> list[Any]:
        assert found.parent is not None
        return list(found.parent.get(propagate=False))

    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        smtp.fail_next(smtplib.SMTPException("down"))
        unsteady.fail_next(ConnectionResetError("the store is away"))
        found = self._begin(unsteady)
        drain()
        assert found.parent is not None
        assert not found.parent.ready()
        until_over(drain, freezer, 3)
        assert self._branches(found)[0] is True
        assert len(unsteady.names()) == 1

        smtp.fail_next(smtplib.SMTPConnectError(421, "closed for the day"), times=100)
        freezer.tick(SOME_DAYS)
        until_over(drain, freezer)
        assert found.status == "FAILURE"
        with pytest.raises(smtplib.SMTPConnectError, match="closed for the day"):
            found.get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        def hang(email: Email) -> None:
            freezer.tick(121)

        smtp.on_send = hang
        found = self._begin(unsteady)
        drain()
        welcome = self._branches(found)[0]
        assert isinstance(welcome, TimeLimitExceeded)
        assert "time limit of 120 s" in str(welcome)

    def partial_failure(self, drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        smtp.refuse(ADA[1], 550, "5.1.1 no such user")
        found = self._begin(unsteady)
        drain()
        refused, workspace = self._branches(found)
        assert isinstance(refused, smtplib.SMTPRecipientsRefused)
        assert workspace.startswith(unsteady.url)
        assert settings_of("ada") == DEFAULTS

    def chain_stop(self, drain: Drain, smtp: MemoryMailer, unsteady: Unsteady, enqueued: Enqueued) -> None:
        note("ada", "left_at")
        found = self._begin(unsteady)
        drain()
        _, left = self._branches(found)
        assert "has left" in str(left)
        assert "setup_defaults" in enqueued.begun
        assert "create_workspace" not in enqueued.begun
        assert unsteady.names() == []

    def progress(self, drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        found = self._begin(unsteady)
        assert found.parent is not None
        before = found.parent.completed_count
        drain()
        assert (before, found.parent.completed_count) == (0, 2)
        assert smtp.delivered == [ADA[1]]
        assert (found.parent.status, found.status) == ("SUCCESS", "PENDING")

    def idempotency(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady) -> None:
        found = self._begin(unsteady)
        drain()
        freezer.tick(SOME_DAYS + timedelta(minutes=1))
        drain()
        assert found.get() is True
        assert smtp.delivered == [ADA[1]] * 2
        assert self._begin(unsteady).get() is True  # signed up again: it is the same onboarding
        # Somebody sends a step by hand, and the database has forgotten: the keys of the steps remember.
        with users().transaction() as transaction:
            transaction.execute("DELETE FROM onboarding_users")
        again = [step.send(*ADA) for step in (send_welcome, send_follow_up)]
        drain()
        assert [handle(message).get() for message in again] == [True, True]
        assert smtp.delivered == [ADA[1]] * 2
        assert known("ada")["welcomed_at"] is None
