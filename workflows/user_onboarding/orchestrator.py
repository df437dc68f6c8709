"""The whole of it: what happens at once, what some days later, and what when the user leaves.

::

    onboard:  send_welcome -----------------------.
              setup_defaults -> create_workspace -+--- some days ---> send_follow_up
                  on failure: undo_defaults                           (revoked when the user leaves)
"""

from __future__ import annotations

from datetime import timedelta

from understudy import WorkflowHandle, chain, group, step, workflow
from understudy.durations import Duration
from understudy.errors import WorkflowExists

from .follow_up import send_follow_up
from .send_welcome import send_welcome
from .setup_defaults import DEFAULTS, WORKSPACES, create_workspace, setup_defaults, undo_defaults
from .users import note

#: When a user is asked how it goes.
SOME_DAYS = timedelta(days=3)


def onboard(
    user_id: str,
    email: str,
    name: str,
    *,
    language: str = DEFAULTS["language"],
    follow_up_after: Duration = SOME_DAYS,
    root: str = WORKSPACES,
) -> WorkflowHandle:
    """Begin the onboarding of a user; done twice it is begun once. All of it is accepted, or nothing.

    One branch that fails does not undo the other: ``handle.parent`` is the group of both, and ``get(propagate=False)``
    of it gives a result or an exception for each. The handle itself is that of the follow-up.

    Raises:
      ServerUnavailable: nothing was accepted.
    """
    settings = chain(
        setup_defaults.message(user_id, language),
        step(create_workspace.message(user_id, root), immutable=True),
        on_failure=undo_defaults.message_with_options(args=(user_id, root), immutable=True),
    )
    at_once = group(send_welcome.message(user_id, email, name), settings, policy="partial")
    later = step(send_follow_up.message(user_id, email, name), immutable=True, delay=follow_up_after)
    try:
        return chain(at_once, later).run(workflow_id=workflow_id(user_id))
    except WorkflowExists:
        return onboarding(user_id)


def leave(user_id: str, *, root: str = WORKSPACES) -> None:
    """A user leaves: nothing more is sent or set up, and what was set up is removed.

    Raises:
      ServerUnavailable, DatabaseUnavailable: call it again.
    """
    # First, because it holds whatever else happens: no step acts for a user who has left.
    note(user_id, "left_at")
    running = onboarding(user_id)
    if running.exists():
        running.revoke()
    undo_defaults.send(user_id, root)


def onboarding(user_id: str) -> WorkflowHandle:
    """The handle of a user's onboarding."""
    return workflow(workflow_id(user_id))


def workflow_id(user_id: str) -> str:
    """The name of a user's onboarding. A user's id may hold what a name must not."""
    return f"onboarding:{user_id.encode().hex()}"
