"""Circuit breakers by name: what is left alone for a while when it is broken."""

from __future__ import annotations

from datetime import timedelta

from tasks.adapters.web import Refused, is_transient
from understudy import CircuitBreaker

#: A receiver of webhooks: after five failures within a minute it is tried out by one webhook every half a minute, later
#: every ten. A webhook that has waited for a day fails.
WEBHOOK_BREAKER = CircuitBreaker(
    "webhook:{url!h}",
    failures=5,
    within=timedelta(minutes=1),
    cooldown=timedelta(seconds=30),
    longest=timedelta(minutes=10),
    patience=timedelta(days=1),
    on=is_transient,
    # Whoever says no is there. What was refused here, or lacked a setting, never reached anybody.
    answers=Refused,
)
