"""The actors that mail: how they fail, retry, stop, go on, and never mail anybody twice.

Every test runs on the stub broker and on a real server.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.mail import DeliveryInDoubt, Email, MemoryMailer
from tasks.email_tasks import send_bulk_emails, send_email
from tests.depth import depth
from understudy import handle
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import InDoubt
from understudy.states import State
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults

Drain = Callable[..., int]

ADA, GRACE, LINUS = "ada@lovelace.example", "grace@hopper.example", "linus@kernel.example"
#: Longer than any wait of the mail retry policy.
LONG_ENOUGH = 600

pytestmark = pytest.mark.usefixtures("broker")


def everybody(count: int) -> list[str]:
    return [f"person{n}@crowd.example" for n in range(count)]


# -- the seed tests ------------------------------------------------------------------------------------------


def test_all_recipients_are_mailed(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send([ADA, {"email": GRACE, "name": "Grace"}])
    drain()
    assert handle(message).get() == {"successful": 2, "failed": 0, "failed_emails": []}
    assert smtp.delivered == [ADA, GRACE]
    assert "Hello Grace," in smtp.messages[1].get_content()


def test_smtp_outage_is_retried(drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer) -> None:
    smtp.fail_next(smtplib.SMTPException("down"))
    message = send_bulk_emails.send([ADA, GRACE])
    drain()
    assert handle(message).status == "RETRY"
    assert str(handle(message).result) == "down"
    freezer.tick(60)
    drain()
    assert handle(message).get() == {"successful": 2, "failed": 0, "failed_emails": []}
    assert smtp.delivered == [ADA, GRACE]


def test_when_the_retries_are_used_up_the_original_exception_is_the_failure(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer
) -> None:
    smtp.fail_next(smtplib.SMTPServerDisconnected("gone"), times=100)
    message = send_bulk_emails.send([ADA])
    for _ in range(11):
        drain()
        freezer.tick(LONG_ENOUGH)
    assert handle(message).status == State.FAILURE
    assert handle(message).retries == 10
    with pytest.raises(smtplib.SMTPServerDisconnected, match="gone"):
        handle(message).get()


def test_progress_shows_current_and_total_while_it_runs(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send(everybody(5))
    seen: list[Any] = []

    def look(email: Email) -> None:
        seen.append((handle(message).status, handle(message).progress))

    smtp.on_send = look
    drain()
    assert seen[0] == ("STARTED", None)
    assert seen[1:] == [("PROGRESS", {"current": n, "total": 5}) for n in (1, 2, 3, 4)]
    assert handle(message).progress == {"current": 5, "total": 5}


def test_one_invalid_address_does_not_stop_the_rest(drain: Drain, smtp: MemoryMailer) -> None:
    smtp.refuse(GRACE, 550, "5.1.1 no such user")
    nameless: Any = {"name": "nobody"}
    message = send_bulk_emails.send([ADA, "not an address", GRACE, nameless, LINUS])
    drain()
    result = handle(message).get()
    assert (result["successful"], result["failed"]) == (2, 3)
    assert [entry["email"] for entry in result["failed_emails"]] == ["not an address", GRACE, ""]
    assert result["failed_emails"][1]["error"] == "550 5.1.1 no such user"
    assert "has no address" in result["failed_emails"][2]["error"]
    assert smtp.delivered == [ADA, LINUS]


def test_the_same_id_twice_does_the_work_once(drain: Drain, smtp: MemoryMailer) -> None:
    first = send_bulk_emails.send([ADA])
    drain()
    send_bulk_emails.send_with_options(args=([ADA],), message_id=first.message_id)
    drain()
    assert smtp.delivered == [ADA]
    assert handle(first).get()["successful"] == 1


def test_the_same_key_twice_gives_the_stored_result(drain: Drain, smtp: MemoryMailer) -> None:
    send_bulk_emails.send_with_options(args=([ADA, GRACE],), idempotency_key="spring")
    again = send_bulk_emails.send_with_options(args=([ADA, GRACE],), idempotency_key="spring")
    drain()
    assert handle(again).get() == {"successful": 2, "failed": 0, "failed_emails": []}
    assert smtp.delivered == [ADA, GRACE]


def test_an_unknown_id_is_pending() -> None:
    assert handle("no-such-id").status == "PENDING"


# -- input ---------------------------------------------------------------------------------------------------


def test_an_empty_campaign_is_done_at_once(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send([])
    drain()
    assert handle(message).get() == {"successful": 0, "failed": 0, "failed_emails": []}


def test_recipients_that_are_no_list_fail_with_a_clear_error(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send(ADA)
    drain()
    with pytest.raises(TypeError, match="recipients is a list"):
        handle(message).get()


def test_a_campaign_without_a_body_fails_with_a_clear_error(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send([ADA], text=None)
    drain()
    with pytest.raises(ValueError, match="needs text, html or both"):
        handle(message).get()


def test_arguments_that_do_not_fit_are_refused_in_the_sender(enqueued: Enqueued) -> None:
    with pytest.raises(TypeError, match="recipient"):
        send_bulk_emails.send(recipient=[ADA])  # type: ignore[call-arg]  # mypy refuses it too
    enqueued.assert_nothing()


def test_a_name_that_would_break_a_header_fails_only_its_own_mail(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send([{"email": ADA, "name": "Ada\nBcc: all@example.org"}, GRACE])
    drain()
    assert handle(message).get()["failed_emails"][0]["email"] == ADA
    assert smtp.delivered == [GRACE]


def test_a_duplicate_is_mailed_once_however_it_is_written(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send([ADA, GRACE, f" {ADA.upper()} "])
    drain()
    assert handle(message).get() == {"successful": 2, "failed": 0, "failed_emails": []}
    assert smtp.delivered == [ADA, GRACE]


def test_one_mailbox_written_in_unicode_and_in_punycode_is_mailed_once(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_bulk_emails.send(["ada@münchen.example", "Ada@XN--MNCHEN-3YA.example", "ada@MÜNCHEN.example"])
    drain()
    assert handle(message).get() == {"successful": 1, "failed": 0, "failed_emails": []}
    assert smtp.delivered == ["ada@münchen.example"]


def test_mailboxes_that_only_look_alike_are_all_mailed(drain: Drain, smtp: MemoryMailer) -> None:
    people = ["ada@straße.example", "ada@strasse.example", "\ufb01n@crowd.example", "fin@crowd.example"]
    message = send_bulk_emails.send(people)
    drain()
    assert handle(message).get() == {"successful": 4, "failed": 0, "failed_emails": []}
    assert smtp.delivered == people


def test_a_refused_recipient_is_reported_as_it_was_written(drain: Drain, smtp: MemoryMailer) -> None:
    smtp.refuse("ADA@münchen.example", 550, "5.1.1 no such user")
    message = send_bulk_emails.send([GRACE, "ADA@MÜNCHEN.example", "x@ü..example"])
    drain()
    smtp_said, domain_said = handle(message).get()["failed_emails"]
    assert smtp_said["email"] == "ADA@MÜNCHEN.example"
    assert domain_said["email"] == "x@ü..example"


def test_a_body_of_ten_megabytes_arrives_whole(drain: Drain, smtp: MemoryMailer) -> None:
    body = "x" * 79 + "\n"
    message = send_bulk_emails.send([ADA], text=body * (10 * 1024 * 1024 // 80))
    drain()
    assert handle(message).get()["successful"] == 1
    assert smtp.messages[0].get_content().count("x" * 79) == 10 * 1024 * 1024 // 80


# -- going on where it stopped -------------------------------------------------------------------------------


@pytest.mark.deep
@pytest.mark.parametrize("position", depth([1, 2, 50, 100], [1, 2, 250, 500]))
def test_a_retry_goes_on_where_it_stopped(
    position: int, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer
) -> None:
    people = everybody(depth(100, 500))
    smtp.fail_at(position, smtplib.SMTPException("down"))
    message = send_bulk_emails.send(people)
    drain()
    freezer.tick(LONG_ENOUGH)
    drain()
    assert smtp.delivered == people
    assert handle(message).get()["successful"] == len(people)


def test_a_line_cut_before_the_mail_was_handed_over_costs_no_retry(drain: Drain, smtp: MemoryMailer) -> None:
    smtp.fail_at(2, smtplib.SMTPServerDisconnected("cut"))
    message = send_bulk_emails.send([ADA, GRACE, LINUS])
    drain()
    assert handle(message).get() == {"successful": 3, "failed": 0, "failed_emails": []}
    assert handle(message).retries == 0
    assert smtp.delivered == [ADA, GRACE, LINUS]


def test_a_recipient_who_is_put_off_is_mailed_by_the_retry_and_the_others_are_not_held_up(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer
) -> None:
    smtp.refuse(GRACE, 450, "4.2.0 greylisted")
    message = send_bulk_emails.send([ADA, GRACE, LINUS])
    drain()
    assert handle(message).status == "RETRY"
    assert smtp.delivered == [ADA, LINUS]
    smtp.accept(GRACE)
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).get() == {"successful": 3, "failed": 0, "failed_emails": []}
    assert smtp.delivered == [ADA, LINUS, GRACE]


def test_a_recipient_who_is_put_off_for_ever_fails_alone(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer
) -> None:
    smtp.refuse(GRACE, 450, "4.2.0 greylisted")
    message = send_bulk_emails.send([ADA, GRACE])
    for _ in range(11):
        drain()
        freezer.tick(LONG_ENOUGH)
    result = handle(message).get()
    assert result["successful"] == 1
    assert result["failed_emails"] == [{"email": GRACE, "error": "450 4.2.0 greylisted"}]
    assert smtp.delivered == [ADA]


def test_a_mail_whose_answer_was_lost_is_reported_and_not_repeated(drain: Drain, smtp: MemoryMailer) -> None:
    smtp.fail_at(2, DeliveryInDoubt("cut after the dot"), delivered=True)
    message = send_bulk_emails.send([ADA, GRACE, LINUS])
    drain()
    result = handle(message).get()
    assert smtp.delivered == [ADA, GRACE, LINUS]
    assert result["successful"] == 2
    assert result["failed_emails"][0]["email"] == GRACE
    assert result["failed_emails"][0]["error"].startswith("in doubt")


def test_a_killed_worker_leaves_one_mail_in_doubt_and_nobody_is_mailed_twice(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, faults: Faults
) -> None:
    people = everybody(20)

    def die_once(email: Email) -> None:
        if smtp.attempts == 8:
            faults.kill_worker()

    smtp.on_send = die_once
    message = send_bulk_emails.send(people)
    drain()
    assert handle(message).status == "PROGRESS"
    freezer.tick(60)
    drain()
    result = handle(message).get()
    assert smtp.delivered == people[:7] + people[8:]
    assert [entry["email"] for entry in result["failed_emails"]] == [people[7]]
    assert result["failed_emails"][0]["error"].startswith("in doubt")
    assert result["successful"] == 19


def test_a_stopping_worker_hands_the_rest_to_the_next_one_and_burns_no_attempt(
    drain: Drain, smtp: MemoryMailer, broker: SettlingBroker
) -> None:
    people = everybody(6)

    def stop(email: Email) -> None:
        if smtp.attempts == 3:
            broker.stopping.set()

    smtp.on_send = stop
    message = send_bulk_emails.send(people)
    with pytest.raises(AssertionError, match="come back for ever"):
        drain(limit=3)
    assert smtp.delivered == people[:3]
    broker.stopping.clear()
    drain()
    assert smtp.delivered == people
    assert handle(message).retries == 0
    assert handle(message).get()["successful"] == 6


def test_a_campaign_longer_than_its_time_limit_is_done_by_several_deliveries(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer
) -> None:
    people = everybody(25)

    def ten_minutes_pass(email: Email) -> None:
        freezer.tick(600)

    smtp.on_send = ten_minutes_pass
    message = send_bulk_emails.send(people)
    assert drain() == 5
    assert smtp.delivered == people
    assert handle(message).retries == 0
    assert handle(message).get() == {"successful": 25, "failed": 0, "failed_emails": []}


# -- one mail ------------------------------------------------------------------------------------------------


def test_one_mail_has_both_parts(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_email.send(ADA, "Grüße", text="plain", html="<p>rich</p>")
    drain()
    assert handle(message).get() == {"email": ADA}
    (mail,) = smtp.messages
    assert mail["Subject"] == "Grüße"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_one_mail_to_a_wrong_address_fails_and_is_not_retried(drain: Drain, smtp: MemoryMailer) -> None:
    message = send_email.send("nobody", "Hello", text="x")
    drain()
    assert handle(message).status == "FAILURE"
    assert handle(message).retries == 0
    with pytest.raises(ValueError, match="@"):
        handle(message).get()


def test_one_mail_is_retried_in_an_outage_and_not_after_a_refusal(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer
) -> None:
    smtp.fail_next(ConnectionRefusedError("nobody listens"))
    away = send_email.send(ADA, "Hello", text="x")
    smtp.refuse(GRACE, 550, "no such user")
    refused = send_email.send(GRACE, "Hello", text="x")
    drain()
    assert handle(away).status == "RETRY"
    assert handle(refused).status == "FAILURE"
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        handle(refused).get()
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(away).get() == {"email": ADA}


def test_one_mail_in_flight_when_the_worker_died_fails_as_in_doubt(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, faults: Faults
) -> None:
    smtp.on_send = lambda email: faults.kill_worker()
    message = send_email.send(ADA, "Hello", text="x")
    drain()
    smtp.on_send = None
    freezer.tick(60)
    drain()
    with pytest.raises(InDoubt):
        handle(message).get()
    assert smtp.delivered == []


def test_a_killed_worker_leaves_those_who_were_put_off_out_of_doubt(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, faults: Faults
) -> None:
    smtp.refuse(ADA, 450, "4.2.0 greylisted")

    def die_once(email: Email) -> None:
        if smtp.attempts == 3:
            faults.kill_worker()

    smtp.on_send = die_once
    message = send_bulk_emails.send([ADA, GRACE, LINUS])
    drain()
    smtp.accept(ADA)
    freezer.tick(60)
    drain()
    assert smtp.delivered == [GRACE, ADA]
    assert [entry["email"] for entry in handle(message).get()["failed_emails"]] == [LINUS]
