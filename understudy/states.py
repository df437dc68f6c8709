"""The states of a message, named as in Celery (``celery/states.py``), and which may follow which.

::

    PENDING --> STARTED --> PROGRESS --> SUCCESS
       |           |   \\________|\\____> FAILURE
       |           |________________\\__> REVOKED
       |           `--> RETRY --> STARTED ...
       `--> REVOKED

PENDING is what an unknown id reads as (S01, S02). Terminal states are terminal (S19, T08): nothing that a
worker does changes them; only an explicit retry by a person opens a new attempt.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """One of Celery's states. Compares equal to its name, ``State.SUCCESS == "SUCCESS"``."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"

    @property
    def terminal(self) -> bool:
        """No state follows this one."""
        return self in TERMINAL


#: The states after which nothing more happens to a message.
TERMINAL = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})
