import smtplib
import socket
import ssl
from typing import Any

import pytest

from tasks.adapters.mail_errors import describe, is_transient
from tasks.adapters.mail_settings import MailSettings
from tasks.adapters.smtp_connection import connect

from .conftest import Serve
from .scripted import Line, scripted


def settings(server: Any, **chosen: Any) -> MailSettings:
    return MailSettings(**{"host": "localhost", "port": server.port, **chosen})


def failure(server: Any, **chosen: Any) -> Exception:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the tests look at its class
        connect(settings(server, **chosen))
    return caught.value


def test_a_connection_is_greeted_and_ready(serve: Serve) -> None:
    client = connect(settings(serve(), timeout=7))
    assert client.sock is not None
    assert client.sock.gettimeout() == 7
    assert client.has_extn("size")
    assert client.noop()[0] == 250
    client.close()


def test_small_packets_are_not_held_back(serve: Serve) -> None:
    client = connect(settings(serve()))
    assert client.sock is not None
    assert client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    client.close()


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_an_encrypted_connection_logs_in(serve: Serve, certificate: str, key: str, security: str) -> None:
    server = serve(security=security, certificate=certificate, key=key, username="ada", password="right")
    login = {"username": "ada", "password": "right", "security": security, "ca_file": certificate, "timeout": 7}
    client = connect(settings(server, **login))
    assert isinstance(client.sock, ssl.SSLSocket)
    assert client.sock.gettimeout() == 7
    assert client.mail("x@mail.example")[0] == 250
    client.close()


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_wrong_password_is_refused_for_good(serve: Serve, certificate: str, key: str, security: str) -> None:
    server = serve(security=security, certificate=certificate, key=key, username="ada", password="right")
    login = {"username": "ada", "password": "wrong", "security": security, "ca_file": certificate}
    refused = failure(server, **login)
    assert isinstance(refused, smtplib.SMTPAuthenticationError)
    assert refused.smtp_code == 535
    assert "SMTP_USERNAME and SMTP_PASSWORD" in str(refused)
    assert not is_transient(refused)


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_an_unknown_certificate_is_not_trusted(serve: Serve, certificate: str, key: str, security: str) -> None:
    refused = failure(serve(security=security, certificate=certificate, key=key), security=security)
    assert isinstance(refused, ssl.SSLCertVerificationError)
    assert not is_transient(refused)
    assert "SMTP_CA_FILE" in str(refused)
    assert "SMTP_CA_FILE" in describe(refused)


def test_a_certificate_of_another_host_is_not_trusted(serve: Serve, certificate: str, key: str) -> None:
    server = serve(security="starttls", certificate=certificate, key=key)
    # Another way to write 127.0.0.1, and not among the names of the certificate.
    refused = failure(server, host="127.1", security="starttls", ca_file=certificate)
    assert isinstance(refused, ssl.SSLCertVerificationError)


def test_without_starttls_nothing_is_sent_in_the_clear_instead(serve: Serve, certificate: str) -> None:
    server = serve(username="ada", password="right")
    login = {"username": "ada", "password": "right"}
    refused = failure(server, security="starttls", ca_file=certificate, **login)
    assert isinstance(refused, smtplib.SMTPNotSupportedError)


def test_a_server_without_tls_is_recognised(serve: Serve) -> None:
    refused = failure(serve(), security="ssl")
    assert isinstance(refused, ssl.SSLError)
    assert not is_transient(refused)


def test_loopback_may_log_in_unencrypted(serve: Serve) -> None:
    server = serve(username="ada", password="right")
    client = connect(settings(server, username="ada", password="right"))
    assert client.mail("x@mail.example")[0] == 250
    client.close()


def test_a_closed_port_is_a_transient_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError) as caught:
        connect(MailSettings(host="127.0.0.1", port=port))
    assert is_transient(caught.value)


@pytest.mark.parametrize(("code", "transient"), [(421, True), (554, False)])
def test_a_server_that_greets_with_a_refusal_is_believed(code: int, transient: bool) -> None:
    with scripted(lambda line: line.say(f"{code} not now")) as server:
        refused = failure(server, host=server.host)
    assert isinstance(refused, smtplib.SMTPConnectError)
    assert is_transient(refused) is transient


def silent(line: Line) -> None:
    line.say_nothing()


def silent_after_greeting(line: Line) -> None:
    line.say("220 here")
    line.say_nothing()


def silent_at_login(line: Line) -> None:
    line.say("220 here")
    line.answer("250-here\r\n250 AUTH PLAIN")
    line.say_nothing()


def silent_at_starttls(line: Line) -> None:
    line.say("220 here")
    line.answer("250-here\r\n250 STARTTLS")
    line.say_nothing()


def silent_at_handshake(line: Line) -> None:
    line.say("220 here")
    line.answer("250-here\r\n250 STARTTLS", "220 go on")
    line.say_nothing()


@pytest.mark.parametrize(
    ("talk", "security"),
    [
        (silent, "none"),
        (silent, "ssl"),
        (silent_after_greeting, "none"),
        (silent_at_login, "none"),
        (silent_at_starttls, "starttls"),
        (silent_at_handshake, "starttls"),
    ],
)
def test_a_server_that_never_answers_is_given_up_at_every_step(talk: Any, security: str) -> None:
    with scripted(talk) as server:
        login = {"username": "ada", "password": "right", "security": security}
        assert is_transient(failure(server, host=server.host, timeout=0.05, **login))
