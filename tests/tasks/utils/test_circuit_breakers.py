from __future__ import annotations

from tasks.adapters.web import DestinationRefused, Refused, Unreachable
from tasks.utils.circuit_breakers import WEBHOOK_BREAKER
from understudy.errors import SettingsError


def test_a_receiver_that_says_no_is_not_broken_and_one_that_does_not_answer_is() -> None:
    assert WEBHOOK_BREAKER.verdict(Unreachable("no answer")) == "failed"
    assert WEBHOOK_BREAKER.verdict(Refused(503)) == "failed"
    assert WEBHOOK_BREAKER.verdict(Refused(404)) == "done"


def test_what_never_reached_it_says_nothing_of_a_receiver() -> None:
    assert WEBHOOK_BREAKER.verdict(DestinationRefused("not public")) == "nothing"
    assert WEBHOOK_BREAKER.verdict(SettingsError(["WEBHOOK_SECRET is not set"])) == "nothing"


def test_each_receiver_has_a_circuit_of_its_own() -> None:
    a, b, other = (
        WEBHOOK_BREAKER.render({"url": url})
        for url in ("https://a.example/x", "https://b.example/x", "https://a.example/y?z=1")
    )
    assert a != b
    assert a == other, "whichever of its addresses is called"
