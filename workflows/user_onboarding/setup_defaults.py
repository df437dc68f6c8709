"""Set up: a new user's settings and workspace. If the workspace cannot be made, the settings are taken back."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from tasks.adapters.files import find, open_writer
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor

from .users import known, note, users

#: What every user begins with.
DEFAULTS = {"language": "en", "plan": "free", "newsletter": "no"}
#: Where workspaces are, below ``FILES_ROOT`` or as a URL.
WORKSPACES = "workspaces"


class UserHasLeft(ValueError):
    """The user has left meanwhile, so there is nothing to set up."""


@actor(
    queue_name="onboarding",
    retry=STORE_RETRY,
    time_limit=timedelta(minutes=1),
    expected_duration=timedelta(milliseconds=200),
    idempotency=Idempotency(key="defaults:{user_id}", ttl=timedelta(hours=1)),
)
def setup_defaults(user_id: str, language: str = DEFAULTS["language"]) -> dict[str, str]:
    """Give a user the settings to begin with; one that is there already stays as the user made it.

    Raises:
      UserHasLeft: not retried.
      DatabaseUnavailable: the database is away; retried.
    """
    _must_be_here(user_id)
    settings = DEFAULTS | {"language": language}
    with users().transaction() as transaction:
        transaction.execute(
            "INSERT INTO onboarding_settings VALUES (:user_id, :name, :value) ON CONFLICT DO NOTHING",
            [{"user_id": user_id, "name": name, "value": value} for name, value in settings.items()],
        )
    return settings


@actor(
    queue_name="onboarding",
    retry=STORE_RETRY,
    time_limit=timedelta(minutes=2),
    expected_duration=timedelta(milliseconds=200),
    idempotency=Idempotency(key="workspace:{user_id}", ttl=timedelta(hours=1)),
)
def create_workspace(user_id: str, root: str = WORKSPACES) -> str:
    """Make a user's workspace, with a first document in it. Returns its URL. Made again it is the same.

    Raises:
      UserHasLeft: not retried; a workspace that was made meanwhile is removed.
      FileRefused: ``root`` may not be used; not retried.
      OSError, DatabaseUnavailable: the store of files or the database is away; retried.
    """
    _must_be_here(user_id)
    place = workspace_file(user_id, root)
    with open_writer(place, ["step", "done"]) as first:
        first.write([{"step": "say hello", "done": False}, {"step": "invite a friend", "done": False}])
    try:
        _must_be_here(user_id)
    except UserHasLeft:
        # What takes things back may have been here before the file was.
        find(place).remove()
        raise
    note(user_id, "prepared_at")
    return first.published.url


@actor(
    queue_name="onboarding",
    retry=STORE_RETRY,
    time_limit=timedelta(minutes=2),
    expected_duration=timedelta(milliseconds=200),
    # No key: what was set up again since is to be taken back again.
    idempotency=Idempotency(ttl=timedelta(hours=1)),
)
def undo_defaults(user_id: str, root: str = WORKSPACES) -> int:
    """Take back what ``setup_defaults`` and ``create_workspace`` have done. Returns how many settings there were.

    Raises:
      OSError, DatabaseUnavailable: the store of files or the database is away; retried.
    """
    find(workspace_file(user_id, root)).remove()
    with users().transaction() as transaction:
        transaction.execute("UPDATE onboarding_users SET prepared_at = NULL WHERE user_id = :id", id=user_id)
        return transaction.execute("DELETE FROM onboarding_settings WHERE user_id = :id", id=user_id)


def _must_be_here(user_id: str) -> None:
    if known(user_id)["left_at"]:
        raise UserHasLeft(f"user {user_id} has left")


def workspace_file(user_id: str, root: str) -> str:
    """The first document of a user. A user's id may hold what a path must not."""
    name = hashlib.sha256(user_id.encode()).hexdigest()[:24]
    return f"{root}/{name}/first-steps.csv"
