import smtplib

import pytest

from tasks.adapters.mail_errors import DeliveryInDoubt
from tasks.adapters.mail_memory import MemoryMailer
from tasks.adapters.mail_message import Email

ADA, GRACE, JEAN = (f"{name}@mail.example" for name in ("ada", "grace", "jean"))


def mail(to: str = ADA) -> Email:
    return Email(to, "Grüße", "Hello", "<p>Hello</p>")


@pytest.fixture
def smtp() -> MemoryMailer:
    return MemoryMailer()


def test_what_is_delivered_went_through_bytes(smtp: MemoryMailer) -> None:
    with smtp as mailer:
        mailer.send(mail(ADA))
        mailer.send(mail(GRACE))
    assert smtp.delivered == [ADA, GRACE]
    assert [message["Subject"] for message in smtp.messages] == ["Grüße", "Grüße"]
    assert smtp.messages[0].get_content_type() == "multipart/alternative"


def test_the_next_sends_fail_as_planned_and_deliver_nothing(smtp: MemoryMailer) -> None:
    smtp.fail_next(smtplib.SMTPException("down"), times=2)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPException, match="down"):
            smtp.send(mail())
    smtp.send(mail())
    assert smtp.delivered == [ADA]
    assert smtp.attempts == 3


def test_planned_failures_add_up_in_order(smtp: MemoryMailer) -> None:
    smtp.fail_next(TimeoutError)
    smtp.fail_next(ConnectionError("cut"))
    with pytest.raises(TimeoutError):
        smtp.send(mail())
    with pytest.raises(ConnectionError):
        smtp.send(mail())


def test_the_nth_send_from_now_on_fails(smtp: MemoryMailer) -> None:
    smtp.send(mail(ADA))
    smtp.fail_at(2, TimeoutError())
    smtp.send(mail(GRACE))
    with pytest.raises(TimeoutError):
        smtp.send(mail(JEAN))
    smtp.send(mail(JEAN))
    assert smtp.delivered == [ADA, GRACE, JEAN]


def test_sends_are_counted_from_one(smtp: MemoryMailer) -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        smtp.fail_at(0, TimeoutError())


def test_a_lost_reply_delivers_and_fails(smtp: MemoryMailer) -> None:
    smtp.fail_next(DeliveryInDoubt(), delivered=True)
    with pytest.raises(DeliveryInDoubt):
        smtp.send(mail())
    assert smtp.delivered == [ADA]


def test_an_address_is_refused_until_it_is_accepted(smtp: MemoryMailer) -> None:
    smtp.refuse("Ada@MAIL.example".lower(), 451, "4.7.1 later")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        smtp.send(mail(ADA))
    assert caught.value.recipients == {ADA: (451, b"4.7.1 later")}
    smtp.send(mail(GRACE))
    smtp.accept(ADA)
    smtp.send(mail(ADA))
    assert smtp.delivered == [GRACE, ADA]


def test_a_watcher_sees_each_mail_before_it_is_delivered(smtp: MemoryMailer) -> None:
    seen: list[tuple[str, int]] = []
    smtp.on_send = lambda email: seen.append((email.to, len(smtp.delivered)))
    smtp.send(mail(ADA))
    smtp.send(mail(GRACE))
    assert seen == [(ADA, 0), (GRACE, 1)]


def test_a_watcher_that_raises_stops_the_mail(smtp: MemoryMailer) -> None:
    def interrupt(email: Email) -> None:
        raise KeyboardInterrupt

    smtp.on_send = interrupt
    with pytest.raises(KeyboardInterrupt):
        smtp.send(mail())
    assert smtp.delivered == []
