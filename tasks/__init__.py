"""What does work: actors by domain. Importing this package installs the broker that the settings describe.

It comes first, because an actor's options are those of the installed middleware. No I/O happens here: the first
send or the worker connects.
"""

from __future__ import annotations

from middleware.stack import stack
from understudy.runtime import install
from understudy.settings import Settings, load

settings = load(Settings)
broker = install(settings, middleware=stack(settings))

from tasks import email_tasks  # noqa: E402 - actors are declared on the broker that was installed above

__all__ = ["broker", "email_tasks", "settings"]
