import json
from typing import Any

import pytest

from understudy.testing.smtp_policy import Conduct, Drop, SmtpPolicy

ADA, GRACE = "ada@mail.example", "grace@mail.example"


def conduct(**policy: Any) -> Conduct:
    return Conduct(SmtpPolicy(**policy), started=100.0)


def test_without_a_policy_the_server_behaves() -> None:
    quiet = conduct()
    for _ in range(20):
        assert quiet.connected() is None
        assert quiet.begins(1000) is None
        assert quiet.refuses(ADA) is None
        assert quiet.greylists(ADA, 100.0) is None
        assert quiet.data() is None
        quiet.accepted()


def test_listed_addresses_and_matching_ones_are_refused() -> None:
    strict = conduct(refuse=("Ada@mail.example",), refuse_pattern="^bounce", refuse_reply="553 5.1.3 no")
    assert strict.refuses(ADA) == "553 5.1.3 no"
    assert strict.refuses("Bounce7@mail.example") == "553 5.1.3 no"
    assert strict.refuses("rebounce@mail.example") is None


def test_each_address_is_turned_away_its_first_times() -> None:
    slow = conduct(greylist=2)
    assert [bool(slow.greylists(ADA, 100.0)) for _ in range(4)] == [True, True, False, False]
    assert slow.greylists(GRACE, 100.0) == "451 4.7.1 greylisted, try again later"


def test_the_first_commands_are_turned_away() -> None:
    slow = conduct(greylist_commands=2)
    assert [bool(slow.greylists(each, 100.0)) for each in (ADA, GRACE, ADA)] == [True, True, False]


def test_the_first_seconds_are_turned_away() -> None:
    slow = conduct(greylist_seconds=5)
    assert slow.greylists(ADA, 104.9) is not None
    assert slow.greylists(ADA, 105.0) is None
    assert conduct().greylists(ADA, 99.0) is None


def test_greylisting_may_concern_some_addresses_only() -> None:
    slow = conduct(greylist=1, greylist_pattern="^ada")
    assert slow.greylists(GRACE, 100.0) is None
    assert slow.greylists(ADA, 100.0) is not None


@pytest.mark.parametrize("drop", list(Drop))
def test_every_nth_mail_is_dropped_where_the_policy_says(drop: Drop) -> None:
    rude = conduct(**{f"drop_{drop.value}": 3})
    assert [rude.data() for _ in range(6)] == [None, None, drop, None, None, drop]


def test_of_several_drops_the_first_in_the_course_of_a_mail_happens() -> None:
    rude = conduct(drop_reply=2, drop_before_data=4)
    assert [rude.data() for _ in range(4)] == [None, Drop.REPLY, None, Drop.BEFORE_DATA]


def test_an_outage_begins_after_some_mails_and_ends_after_some_connections() -> None:
    flaky = conduct(outage_after=1, outage_connections=2)
    assert flaky.connected() is None
    flaky.accepted()
    assert str(flaky.begins(1)).startswith("421")
    assert [bool(flaky.connected()) for _ in range(3)] == [True, True, False]
    assert flaky.begins(1) is None


def test_a_connection_has_its_share_of_mails() -> None:
    assert conduct(messages_per_connection=2).begins(1) is None
    assert str(conduct(messages_per_connection=2).begins(2)).startswith("421")


def test_a_policy_survives_json() -> None:
    policy = SmtpPolicy(refuse=(ADA,), refuse_pattern="^x", greylist_seconds=0.5, utf8=False)
    assert SmtpPolicy.of(json.loads(policy.to_json())) == policy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"greylisst": 1}, "greylisst: no such option"),
        ({"refuse_pattern": "("}, "refuse_pattern: "),
        ({"greylist": -1}, "greylist: -1 is negative"),
        ({"refuse_reply": "no"}, "refuse_reply: write a code and a text"),
        ({"refuse_reply": "550 no\r\n250 yes"}, "refuse_reply: write a code and a text"),
        ({"security": "tls"}, "security: 'tls' is none of"),
        ({"security": "ssl"}, "certificate: missing"),
        ({"username": "ada"}, "username and password: give both or neither"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_and_the_field_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmtpPolicy.of(values)
