import smtplib
import threading

import pytest

from tasks.adapters.mail import Email, Mailer, MailSettings, MemoryMailer, SmtpMailer, open_mailer, use_mailer
from understudy.errors import SettingsError

from .conftest import Serve

ADA, GRACE, JEAN = (f"{name}@mail.example" for name in ("ada", "grace", "jean"))


def test_a_mailer_is_opened_from_the_environment_without_any_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", "mail.invalid")
    with open_mailer() as mailer:
        assert isinstance(mailer, SmtpMailer)


def test_wrong_settings_are_told_when_the_mailer_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_USERNAME", "ada")
    with pytest.raises(SettingsError, match="SMTP_PASSWORD"):
        open_mailer()


def test_a_test_puts_its_own_mailer_in_for_every_thread() -> None:
    smtp, outer, opened = MemoryMailer(), MemoryMailer(), []
    with use_mailer(lambda: outer):
        with use_mailer(lambda: smtp):
            thread = threading.Thread(target=lambda: opened.append(open_mailer()))
            thread.start()
            thread.join()
        assert open_mailer() is outer
    assert opened == [smtp]
    assert isinstance(open_mailer(), SmtpMailer)


def test_the_mailer_comes_back_after_a_failing_test() -> None:
    with pytest.raises(ZeroDivisionError), use_mailer(MemoryMailer):
        _ = 1 / 0
    assert isinstance(open_mailer(), SmtpMailer)


@pytest.mark.parametrize("kind", ["memory", "smtp"])
def test_the_double_and_the_real_mailer_do_the_same(kind: str, serve: Serve) -> None:
    mailer: Mailer
    if kind == "memory":
        mailer = MemoryMailer()
        mailer.refuse(GRACE, 550, "5.1.1 no such user")
    else:
        server = serve(refuse=(GRACE,))
        mailer = SmtpMailer(MailSettings(host=server.host, port=server.port))
    with mailer as opened:
        opened.send(Email(ADA, "Grüße", "Hello", "<p>Hello</p>", message_key="k"))
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            opened.send(Email(GRACE, "Grüße", "Hello"))
        opened.send(Email(JEAN, "Grüße", "Hello", "<p>Hello</p>", message_key="k"))
    assert caught.value.recipients == {GRACE: (550, b"5.1.1 no such user")}
    if isinstance(mailer, MemoryMailer):
        delivered, messages = mailer.delivered, mailer.messages
    else:
        delivered, messages = [each.recipient for each in server.journal()], server.messages()
    assert delivered == [ADA, JEAN]
    assert [message["To"] for message in messages] == [ADA, JEAN]
    assert [message["Subject"] for message in messages] == ["Grüße", "Grüße"]
    assert [message.get_content_type() for message in messages] == ["multipart/alternative"] * 2
