"""The ordered list of middleware, with a reason per position.

Dramatiq runs ``before_*`` hooks from first to last and ``after_*`` hooks from last to first: position is meaning.

::

    before the body                                     after the body
    Lifecycle      (no per-message hooks)
    Executions     opens the execution                  closes it, when all have contributed       ^
    Idempotency    claims the key, or the message       completes, keeps or releases the claim,    |
                   does not come further                by the state that States has set           |
    States         lets it in                           sets state and result, collects marks      |
    Progress       gives the body its reporter          (flushed by States)                        |
    Heartbeats     writes throttled progress            stops it                                   |
    TimeLimit      the clock starts last                the clock stops first but for Retries ...
    Results        (Dramatiq's door to the records: stores nothing itself)                         |
    Pipelines                                           enqueues the next step into the outcome    |
    Retries                                             decides: done, retry, failed, hand back ---'

Idempotency stands before States, because a duplicate is not let in. STARTED is shown by the broker, after all of
these. Retries is last, so that everything above it knows the disposition.
"""

from __future__ import annotations

from dramatiq import Middleware
from dramatiq.middleware import Pipelines, TimeLimit

from understudy.durations import to_millis
from understudy.settings import Settings

from .executions import Executions
from .heartbeats import Heartbeats
from .idempotency import Idempotency
from .lifecycle import Lifecycle
from .progress import Progress
from .results import recorded_results
from .retries import Retries
from .states import States


def stack(settings: Settings) -> list[Middleware]:
    """The middleware of a worker, in order."""
    return [
        Lifecycle(),
        Executions(),
        Idempotency(),
        States(),
        Progress(),
        Heartbeats(),
        # Dramatiq's own limit: an exception in the thread, which does not reach a system call. Best effort.
        TimeLimit(time_limit=to_millis(settings.default_time_limit), interval=100),
        recorded_results(),
        Pipelines(),
        Retries(),
    ]
