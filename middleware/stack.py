"""The ordered list of middleware, with a reason per position.

Dramatiq runs ``before_*`` hooks from first to last and ``after_*`` hooks from last to first: position is meaning.

::

    before the body                                     after the body
    Lifecycle      (no per-message hooks)
    Metrics        (none either: outcomes are counted where they are committed)
    Coroutines     (no per-message hooks)
    Executions     opens the execution                  closes it, when all have contributed       ^
    Alerts         (tells of failures when they are committed)
    Callbacks      (what is sent when a message has ended; the broker does it, for some ends meet no hook)
    Lineage        (what the body sends learns where it comes from)                                |
    Canvas         reads the input of a step of a
                   workflow
    Idempotency    claims the key, or the message       completes, keeps or releases the claim,    |
                   does not come further                by the state that States has set           |
    Revocation     stops what nobody wants any more                                                |
    Expiry         stops what comes too late                                                       |
    CircuitBreakers  lets wait what would call a       tells how the call ended                    |
                   thing that is broken
    Limits         lets wait what is over a limit      (a retry arrives anew)                      |
    States         lets it in                           sets state and result, collects marks      |
    Progress       gives the body its reporter          (flushed by States)                        |
    Heartbeats     (writes what was throttled, now and then; no per-message hooks)                 |
    Doubts         says that the body begins, where                                                |
                   nothing is repeated in doubt
    TimeLimits     says what runs the body, and         the clock stops first but for Retries ...
                   the clock starts last                                                           |
    Results        (Dramatiq's door to the records: stores nothing itself)                         |
    Pipelines                                           enqueues the next step into the outcome    |
    Retries                                             decides: done, retry, failed, hand back    |
    Termination    the body can be ended                it cannot any more ------------------------'

A middleware may say which messages it concerns, and is not called for others (``understudy/brokers/hooks.py``).

``before_work`` runs in the same order, over all messages that were fetched together: for one of which a guard above
knows already that it does not run, Limits asks for no turn.

Idempotency stands before States, because a duplicate is not let in. Revocation and Expiry stand below it, so that what
they stop gives back its claim, and a duplicate still gets the stored result. CircuitBreakers stands above Limits, which
gives no turn to what would not run. Limits stands below all of these, so that what does not run uses no turn, and above
States, so that what waits has not begun: it burns no attempt, while a retry takes a turn like any run. STARTED is shown
by the broker, after all of these. Retries is last of those that add to the outcome, so that everything above it knows
the disposition. Doubts stands below all guards: what it tells the server is that a body begins. Termination is last of
all: nothing but a body is ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from dramatiq import Middleware
from dramatiq.middleware import Pipelines

from understudy.brokers.hooks import only_with
from understudy.brokers.tally import BUCKETS
from understudy.settings import Settings

from .alerts import Alerts
from .callbacks import Callbacks
from .canvas import Canvas
from .circuits import CircuitBreakers
from .coroutines import Coroutines
from .doubts import Doubts
from .executions import Executions
from .expiry import Expiry
from .heartbeats import Heartbeats
from .idempotency import Idempotency
from .lifecycle import Lifecycle
from .limits import Limits
from .lineage import Lineage
from .metrics import Metrics
from .progress import Progress
from .results import recorded_results
from .retries import Retries
from .revocation import Revocation
from .states import States
from .termination import Termination
from .time_limits import TimeLimits


def stack(settings: Settings, *, buckets: Sequence[float] = BUCKETS) -> list[Middleware]:
    """The middleware of a worker, in order.

    Args:
      buckets: by which durations are counted; see ``Metrics``.
    """
    termination = Termination()
    return [
        Lifecycle(),
        Metrics(settings, buckets),
        Coroutines(),
        Executions(),
        Alerts(),
        Callbacks(),
        Lineage(),
        Canvas(),
        Idempotency(),
        Revocation(termination),
        Expiry(),
        CircuitBreakers(),
        Limits(),
        States(),
        Progress(),
        Heartbeats(),
        Doubts(),
        TimeLimits(settings),
        recorded_results(),
        only_with(Pipelines(), "pipe_target"),
        Retries(),
        termination,
    ]
