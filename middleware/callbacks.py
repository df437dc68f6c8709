"""``on_success`` and ``on_failure`` (S24, R16): what is sent when a message has ended, as a part of its outcome.

The broker makes the messages where it concludes an outcome (``understudy/brokers/followers.py``), because some ends are
no hook's business. That this one stands in the stack is what it asks for: Dramatiq's own ``Callbacks`` takes the same
options, and sends on every attempt.
"""

from __future__ import annotations

from dramatiq import Middleware


class Callbacks(Middleware):
    """Anywhere in the stack: it has no hooks."""

    #: The broker looks for it.
    calls_back = True

    @property
    def actor_options(self) -> set[str]:
        return {"on_success", "on_failure"}
