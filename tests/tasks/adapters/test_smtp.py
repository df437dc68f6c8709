import smtplib
from typing import Any

import pytest

from tasks.adapters.mail_errors import (
    AddressNotSupported,
    DeliveryInDoubt,
    describe,
    in_doubt,
    is_recipient_failure,
    is_transient,
)
from tasks.adapters.mail_message import Email
from tasks.adapters.smtp import SmtpMailer
from understudy import clock

from .conftest import OpenMailer, Serve
from .scripted import Line, scripted

ADA, GRACE, JEAN = (f"{name}@mail.example" for name in ("ada", "grace", "jean"))
#: More than the buffers between two sockets hold, so that the sender notices in the middle.
HUGE = ("x" * 70 + "\n") * 200_000


def mail(to: str = ADA, text: str = "Hello") -> Email:
    return Email(to, "Grüße", text, message_key="campaign-1")


def recipients(server: Any) -> list[str]:
    return [each.recipient for each in server.journal()]


def failure(mailer: SmtpMailer, email: Email) -> Exception:
    with pytest.raises((OSError, ValueError)) as caught:
        mailer.send(email)
    return caught.value


def test_a_mail_arrives_as_it_was_written(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve()
    email = Email(ADA, "Grüße", "Hällo\n.\n..dots\n", "<p>Hällo</p>", {"X-Tag": "a"}, message_key="k")
    mailer_to(server).send(email)
    (message,) = server.messages()
    (delivery,) = server.journal()
    plain, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    assert (message["To"], message["Subject"], message["X-Tag"]) == (ADA, "Grüße", "a")
    assert plain == "Hällo\n.\n..dots\n"
    assert html.strip() == "<p>Hällo</p>"
    assert delivery.recipient == ADA
    assert delivery.message_id == message["Message-ID"]


def test_many_mails_share_one_connection(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve()
    mailer = mailer_to(server)
    for number in range(50):
        mailer.send(mail(f"reader{number}@mail.example"))
    assert recipients(server) == [f"reader{number}@mail.example" for number in range(50)]
    assert server.stats()["connected"] == 1


def test_nothing_is_connected_before_the_first_mail(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve()
    mailer_to(server)
    assert server.stats()["connected"] == 0


def test_a_connection_is_renewed_after_its_share_of_mails(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve()
    mailer = mailer_to(server, messages_per_connection=2)
    for _ in range(5):
        mailer.send(mail())
    assert server.stats()["connected"] == 3


def test_a_connection_is_renewed_after_an_idle_time(
    serve: Serve, mailer_to: OpenMailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, now = serve(), 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    mailer = mailer_to(server, max_idle=30.0)
    mailer.send(mail())
    now += 30.0
    mailer.send(mail())
    assert server.stats()["connected"] == 1
    now += 30.1
    mailer.send(mail())
    assert server.stats()["connected"] == 2


def test_a_closed_mailer_opens_again(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve()
    mailer = mailer_to(server)
    mailer.send(mail())
    mailer.close()
    mailer.close()
    mailer.send(mail())
    assert recipients(server) == [ADA, ADA]


@pytest.mark.parametrize(("code", "transient"), [("550 5.1.1", False), ("450 4.2.1", True)])
def test_after_a_refused_recipient_the_same_connection_carries_the_next(
    serve: Serve, mailer_to: OpenMailer, code: str, transient: bool
) -> None:
    server = serve(refuse=(GRACE,), refuse_reply=f"{code} no")
    mailer = mailer_to(server)
    mailer.send(mail(ADA))
    refused = failure(mailer, mail(GRACE))
    mailer.send(mail(JEAN))
    assert isinstance(refused, smtplib.SMTPRecipientsRefused)
    assert (is_transient(refused), is_recipient_failure(refused)) == (transient, not transient)
    assert describe(refused) == f"{code} no"
    assert recipients(server) == [ADA, JEAN]
    assert server.stats()["connected"] == 1


def test_greylisting_passes(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(greylist=2)
    mailer = mailer_to(server)
    assert [is_transient(failure(mailer, mail())) for _ in range(2)] == [True, True]
    mailer.send(mail())
    assert recipients(server) == [ADA]


def test_a_drop_before_data_is_a_certain_failure_and_the_next_send_connects_again(
    serve: Serve, mailer_to: OpenMailer
) -> None:
    server = serve(drop_before_data=2)
    mailer = mailer_to(server)
    mailer.send(mail(ADA))
    lost = failure(mailer, mail(GRACE))
    mailer.send(mail(GRACE))
    assert isinstance(lost, smtplib.SMTPServerDisconnected)
    assert is_transient(lost)
    assert recipients(server) == [ADA, GRACE]
    assert server.stats()["connected"] == 2


def test_a_drop_in_the_middle_of_a_mail_is_a_certain_failure(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(drop_mid_data=1)
    lost = failure(mailer_to(server), mail(text=HUGE))
    assert isinstance(lost, smtplib.SMTPServerDisconnected)
    assert is_transient(lost)
    assert recipients(server) == []


@pytest.mark.parametrize(("policy", "delivered"), [("drop_reply", [ADA]), ("drop_after_dot", [])])
def test_a_lost_reply_is_a_doubt_whether_the_mail_was_accepted_or_not(
    serve: Serve, mailer_to: OpenMailer, policy: str, delivered: list[str]
) -> None:
    server = serve(**{policy: 1})
    lost = failure(mailer_to(server), mail())
    assert isinstance(lost, DeliveryInDoubt)
    assert in_doubt(lost)
    assert not is_transient(lost)
    assert recipients(server) == delivered


def test_a_repeated_mail_has_the_same_message_id(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(drop_reply=2)
    mailer = mailer_to(server)
    mailer.send(mail(GRACE))
    failure(mailer, mail(ADA))
    mailer.send(mail(ADA))
    grace, ada, again = (each.message_id for each in server.journal())
    assert ada == again != grace


def test_a_server_that_closes_between_two_mails_is_no_failure(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(messages_per_connection=2)
    mailer = mailer_to(server)
    for _ in range(5):
        mailer.send(mail())
    assert len(server.journal()) == 5
    assert server.stats()["connected"] == 3


def test_an_outage_is_transient_and_passes(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(outage_after=2, outage_connections=2)
    mailer = mailer_to(server)
    mailer.send(mail(ADA))
    mailer.send(mail(GRACE))
    for _ in range(2):
        turned_away = failure(mailer, mail(JEAN))
        assert isinstance(turned_away, smtplib.SMTPConnectError)
        assert describe(turned_away).startswith("421 4.3.2")
        assert is_transient(turned_away)
    mailer.send(mail(JEAN))
    assert recipients(server) == [ADA, GRACE, JEAN]


def test_a_mail_that_is_too_large_is_refused_before_it_travels(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(max_size=2000)
    mailer = mailer_to(server)
    refused = failure(mailer, mail(text="x\n" * 2000))
    mailer.send(mail())
    assert isinstance(refused, smtplib.SMTPSenderRefused)
    assert is_recipient_failure(refused)
    assert server.stats()["connected"] == 1


def test_a_utf8_address_arrives_where_the_server_carries_it(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve()
    mailer = mailer_to(server)
    mailer.send(mail("jörg@mail.example"))
    mailer.send(mail(ADA))
    assert recipients(server) == ["jörg@mail.example", ADA]


def test_a_utf8_address_fails_alone_where_the_server_does_not(serve: Serve, mailer_to: OpenMailer) -> None:
    server = serve(utf8=False)
    mailer = mailer_to(server)
    refused = failure(mailer, mail("jörg@mail.example"))
    mailer.send(mail("ada@müller.example"))
    assert isinstance(refused, AddressNotSupported)
    assert is_recipient_failure(refused)
    assert recipients(server) == ["ada@xn--mller-kva.example"]
    assert server.stats()["connected"] == 1


def test_a_utf8_sender_is_a_failure_of_the_settings(serve: Serve, mailer_to: OpenMailer) -> None:
    mailer = mailer_to(serve(utf8=False), settings={"sender": "jörg@mail.example"})
    refused = failure(mailer, mail())
    assert isinstance(refused, smtplib.SMTPNotSupportedError)
    assert not is_recipient_failure(refused)


def test_mail_goes_over_an_encrypted_connection_with_a_login(
    serve: Serve, mailer_to: OpenMailer, certificate: str, key: str
) -> None:
    server = serve(security="starttls", certificate=certificate, key=key, username="ada", password="right")
    login = {"security": "starttls", "ca_file": certificate, "username": "ada", "password": "right"}
    mailer = mailer_to(server, settings=login)
    mailer.send(mail(ADA))
    mailer.send(mail(GRACE))
    assert recipients(server) == [ADA, GRACE]
    assert server.stats()["connected"] == 1


def test_an_interruption_in_the_middle_leaves_no_half_conversation_behind(
    serve: Serve, mailer_to: OpenMailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    mailer = mailer_to(server)
    mailer.send(mail(ADA))

    class Interrupted(BaseException):
        pass

    def interrupt(client: smtplib.SMTP, *args: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(smtplib.SMTP, "rcpt", interrupt)
        with pytest.raises(Interrupted):
            mailer.send(mail(GRACE))
    mailer.send(mail(JEAN))
    assert recipients(server) == [ADA, JEAN]
    assert server.stats()["connected"] == 2


def test_a_dot_that_could_not_be_sent_leaves_no_doubt(
    serve: Serve, mailer_to: OpenMailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, send = serve(), smtplib.SMTP.send

    def cut_before_the_dot(client: smtplib.SMTP, data: Any) -> None:
        if data == b".\r\n":
            client.close()
        send(client, data)

    monkeypatch.setattr(smtplib.SMTP, "send", cut_before_the_dot)
    assert is_transient(failure(mailer_to(server), mail()))
    assert recipients(server) == []


def greeted(line: Line, *replies: str) -> None:
    line.say("220 here")
    line.answer("250 here", *replies)


@pytest.mark.parametrize("replies", [[], ["250 ok"], ["250 ok", "250 ok"]], ids=["MAIL", "RCPT", "DATA"])
def test_a_server_that_falls_silent_before_the_mail_is_given_up_for_certain(
    mailer_to: OpenMailer, replies: list[str]
) -> None:
    def talk(line: Line) -> None:
        greeted(line, *replies)
        line.say_nothing()

    with scripted(talk) as server:
        lost = failure(mailer_to(server, settings={"timeout": 0.05}), mail())
    assert isinstance(lost, smtplib.SMTPServerDisconnected)
    assert is_transient(lost)


@pytest.mark.parametrize("answer", [None, "x" * 9000, "what?"], ids=["silence", "endless", "not smtp"])
def test_a_server_that_does_not_answer_the_whole_mail_properly_leaves_a_doubt(
    mailer_to: OpenMailer, answer: str | None
) -> None:
    def talk(line: Line) -> None:
        greeted(line, "250 ok", "250 ok", "354 go on")
        line.hear_mail()
        if answer is not None:
            line.say(answer)
        line.say_nothing()

    with scripted(talk) as server:
        assert in_doubt(failure(mailer_to(server, settings={"timeout": 0.05}), mail()))


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        (["451 later"], smtplib.SMTPSenderRefused),
        (["250 ok", "451 later"], smtplib.SMTPRecipientsRefused),
        (["250 ok", "250 ok", "451 later"], smtplib.SMTPDataError),
    ],
)
def test_each_step_is_refused_with_its_own_exception(
    mailer_to: OpenMailer, replies: list[str], kind: type[Exception]
) -> None:
    def talk(line: Line) -> None:
        greeted(line, *replies, "250 reset", "250 ok", "250 ok", "354 go on")
        line.hear_mail()
        line.say("250 ok")
        line.answer("221 bye")

    with scripted(talk) as server:
        mailer = mailer_to(server, settings={"timeout": 5})
        refused = failure(mailer, mail())
        mailer.send(mail())
        mailer.close()
    assert isinstance(refused, kind)
    assert is_transient(refused)


@pytest.mark.parametrize(("code", "transient"), [(451, True), (554, False)])
def test_a_refusal_of_the_whole_mail_is_certain(mailer_to: OpenMailer, code: int, transient: bool) -> None:
    def talk(line: Line) -> None:
        greeted(line, "250 ok", "250 ok", "354 go on")
        line.hear_mail()
        line.say(f"{code} no")
        line.answer("250 reset", "221 bye")

    with scripted(talk) as server:
        mailer = mailer_to(server)
        refused = failure(mailer, mail())
        mailer.close()
    assert isinstance(refused, smtplib.SMTPDataError)
    assert (is_transient(refused), is_recipient_failure(refused)) == (transient, not transient)


def test_a_421_in_the_middle_ends_the_connection(mailer_to: OpenMailer) -> None:
    def first(line: Line) -> None:
        greeted(line, "250 ok", "421 shutting down")
        line.say_nothing()

    def second(line: Line) -> None:
        greeted(line, "250 ok", "250 ok", "354 go on")
        line.hear_mail()
        line.say("250 ok")
        line.answer("221 bye")

    with scripted(first, second) as server:
        mailer = mailer_to(server)
        assert is_transient(failure(mailer, mail()))
        mailer.send(mail())
        mailer.close()


def test_a_failed_reset_ends_the_connection(mailer_to: OpenMailer) -> None:
    def first(line: Line) -> None:
        greeted(line, "250 ok", "550 no", "500 what?")
        line.say_nothing()

    def second(line: Line) -> None:
        greeted(line, "250 ok", "550 no")

    with scripted(first, second) as server:
        mailer = mailer_to(server)
        assert is_recipient_failure(failure(mailer, mail(GRACE)))
        assert is_recipient_failure(failure(mailer, mail(JEAN)))


def test_a_goodbye_nobody_answers_is_not_waited_for_long(mailer_to: OpenMailer) -> None:
    def talk(line: Line) -> None:
        greeted(line, "250 ok", "550 no", "250 reset")
        line.say_nothing()

    with scripted(talk) as server:
        mailer = mailer_to(server, settings={"timeout": 0.05})
        failure(mailer, mail())
        mailer.close()
