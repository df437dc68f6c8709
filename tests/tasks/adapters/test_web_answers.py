import pytest

from tasks.adapters.web_address import DestinationRefused
from tasks.adapters.web_answers import LONGEST_WAIT, Refused, Unreachable, is_transient, seconds_of

NOW = 1_772_366_400.0  # Sun, 01 Mar 2026 12:00:00 GMT


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert is_transient(Refused(status))


@pytest.mark.parametrize("status", [301, 302, 304, 400, 401, 403, 404, 410, 413, 422])
def test_what_does_not_pass_is_not(status: int) -> None:
    assert not is_transient(Refused(status))


def test_a_receiver_that_is_away_may_come_back_and_a_url_that_is_refused_stays_so() -> None:
    assert is_transient(Unreachable("no answer"))
    assert is_transient(TimeoutError())
    assert not is_transient(DestinationRefused("no"))
    assert not is_transient(ValueError())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999", LONGEST_WAIT),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 11:00:00 GMT", LONGEST_WAIT),
        ("", None),
        (None, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("Jan -0000 10:00:00 99999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header, now=NOW) == seconds


def test_a_refusal_survives_the_way_to_a_reader() -> None:
    again = Refused(*Refused(429, 5.0).args)
    assert (again.status, again.retry_after, str(again)) == (429, 5.0, "the receiver answered 429")
