"""What is known of a user's onboarding: a row per user, in the database that ``DATABASE_URL`` names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypedDict

from tasks.adapters.database import Database, open_database
from tasks.adapters.migrations import Migration, migrate
from understudy import clock

_MIGRATIONS = (
    Migration(
        1,
        "users and settings",
        (
            """
            CREATE TABLE onboarding_users (
                user_id VARCHAR(200) PRIMARY KEY,
                welcomed_at VARCHAR(40),
                prepared_at VARCHAR(40),
                followed_up_at VARCHAR(40),
                left_at VARCHAR(40)
            )
            """,
            """
            CREATE TABLE onboarding_settings (
                user_id VARCHAR(200) NOT NULL,
                name VARCHAR(100) NOT NULL,
                value VARCHAR(500) NOT NULL,
                PRIMARY KEY (user_id, name)
            )
            """,
        ),
    ),
)

Moment = Literal["welcomed_at", "prepared_at", "followed_up_at", "left_at"]


class User(TypedDict):
    """When what happened to a user; None: it did not."""

    welcomed_at: str | None
    prepared_at: str | None
    followed_up_at: str | None
    left_at: str | None


def users() -> Database:
    """The database, with its tables."""
    database = open_database()
    migrate(database, "onboarding", _MIGRATIONS)
    return database


def known(user_id: str) -> User:
    """What is known of a user; of one that nobody knows nothing happened."""
    with users().reading() as transaction:
        query = "SELECT welcomed_at, prepared_at, followed_up_at, left_at FROM onboarding_users WHERE user_id = :id"
        found = transaction.select(query, id=user_id)
    nothing = User(welcomed_at=None, prepared_at=None, followed_up_at=None, left_at=None)
    return User(**found[0]) if found else nothing  # type: ignore[typeddict-item]


def note(user_id: str, moment: Moment) -> None:
    """Something happened to a user now; what happened before keeps its time."""
    with users().transaction() as transaction:
        transaction.execute("INSERT INTO onboarding_users (user_id) VALUES (:id) ON CONFLICT DO NOTHING", id=user_id)
        transaction.execute(
            f"UPDATE onboarding_users SET {moment} = COALESCE({moment}, :now) WHERE user_id = :id",
            now=datetime.fromtimestamp(clock.now(), UTC).isoformat(),
            id=user_id,
        )


def claim(user_id: str, moment: Moment) -> bool:
    """Note that something happens to a user now; False when it did before, or when the user has left. Of several who
    ask at the same time one gets True."""
    with users().transaction() as transaction:
        transaction.execute("INSERT INTO onboarding_users (user_id) VALUES (:id) ON CONFLICT DO NOTHING", id=user_id)
        taken = transaction.execute(
            f"UPDATE onboarding_users SET {moment} = :now WHERE user_id = :id AND {moment} IS NULL AND left_at IS NULL",
            now=datetime.fromtimestamp(clock.now(), UTC).isoformat(),
            id=user_id,
        )
    return bool(taken)


def release(user_id: str, moment: Moment) -> None:
    """Take a claim back: it did not happen."""
    with users().transaction() as transaction:
        transaction.execute(f"UPDATE onboarding_users SET {moment} = NULL WHERE user_id = :id", id=user_id)


def settings_of(user_id: str) -> dict[str, str]:
    """A user's settings."""
    with users().reading() as transaction:
        query = "SELECT name, value FROM onboarding_settings WHERE user_id = :id ORDER BY name"
        return {row["name"]: row["value"] for row in transaction.select(query, id=user_id)}
