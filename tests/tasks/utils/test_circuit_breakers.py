from __future__ import annotations

from tasks.adapters.web import DestinationRefused, Refused, Unreachable
from tasks.utils.circuit_breakers import WEBHOOK_BREAKER


def test_a_receiver_that_says_no_is_not_broken_and_one_that_does_not_answer_is() -> None:
    assert WEBHOOK_BREAKER.covers(Unreachable("no answer"))
    assert WEBHOOK_BREAKER.covers(Refused(503))
    assert not WEBHOOK_BREAKER.covers(Refused(404))
    assert not WEBHOOK_BREAKER.covers(DestinationRefused("not public"))


def test_each_receiver_has_a_circuit_of_its_own() -> None:
    assert WEBHOOK_BREAKER.render({"url": "https://a.example/"}) != WEBHOOK_BREAKER.render(
        {"url": "https://b.example/"}
    )
