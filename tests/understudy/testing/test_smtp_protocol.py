"""The server as a plain client sees it. What the mailer makes of it: tests/tasks/adapters/test_smtp.py."""

import asyncio
import smtplib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from understudy.testing import smtp_journal
from understudy.testing.smtp_journal import Journal
from understudy.testing.smtp_policy import SmtpPolicy
from understudy.testing.smtp_protocol import serving
from understudy.testing.smtp_server import SmtpThread

ADA, GRACE = "ada@mail.example", "grace@mail.example"
BODY = b"Message-ID: <1@mail.example>\r\n\r\nHello"
Talk = Callable[..., tuple[SmtpThread, smtplib.SMTP]]


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    with ExitStack() as stack:

        def start(**policy: Any) -> tuple[SmtpThread, smtplib.SMTP]:
            server = stack.enter_context(SmtpThread(tmp_path / "smtp.jsonl", SmtpPolicy(**policy)))
            client = smtplib.SMTP(server.host, server.port, "client.example", timeout=10)
            stack.callback(client.close)
            return server, client

        yield start


def test_an_accepted_mail_is_in_the_journal_before_the_reply(talk: Talk) -> None:
    server, client = talk()
    client.sendmail("x@mail.example", [ADA, GRACE], BODY)
    first, second = server.journal()
    assert (first.recipient, second.recipient) == (ADA, GRACE)
    assert (first.message_id, first.size, first.connection) == ("<1@mail.example>", len(BODY) + 2, 1)


def test_a_refusal_is_counted_and_the_conversation_goes_on(talk: Talk) -> None:
    server, client = talk(refuse_pattern="^ada")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("x@mail.example", [ADA], BODY)
    client.sendmail("x@mail.example", [GRACE], BODY)
    assert (server.stats()["refused"], server.stats()["accepted"]) == (1, 1)


def test_greylisting_is_counted(talk: Talk) -> None:
    server, client = talk(greylist=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.sendmail("x@mail.example", [ADA], BODY)
    client.sendmail("x@mail.example", [ADA], BODY)
    assert caught.value.recipients[ADA][0] == 451
    assert (server.stats()["greylisted"], server.stats()["accepted"]) == (1, 1)


@pytest.mark.parametrize(("policy", "accepted"), [("before_data", 0), ("mid_data", 0), ("after_dot", 0), ("reply", 1)])
def test_a_drop_is_told_in_the_journal_with_its_place(talk: Talk, policy: str, accepted: int) -> None:
    server, client = talk(**{f"drop_{policy}": 1})
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail("x@mail.example", [ADA], BODY)
    (drop,) = (each for each in smtp_journal.read(server.journal_path) if each["event"] == "dropped")
    assert (drop["where"], drop["recipients"]) == (policy, [ADA])
    assert server.stats()["accepted"] == accepted


def test_an_outage_ends_open_connections_and_turns_new_ones_away(talk: Talk) -> None:
    server, client = talk(outage_after=1, outage_connections=1)
    client.sendmail("x@mail.example", [ADA], BODY)
    assert client.mail("x@mail.example")[0] == 421
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.noop()
    with pytest.raises(smtplib.SMTPConnectError):
        smtplib.SMTP(server.host, server.port, "client.example", timeout=10)
    with smtplib.SMTP(server.host, server.port, "client.example", timeout=10) as again:
        again.sendmail("x@mail.example", [GRACE], BODY)
    assert server.stats()["unavailable"] == 2
    assert server.stats()["connected"] == 2


def test_replies_are_slow_when_asked(talk: Talk) -> None:
    _, client = talk(delay_ms=1)
    assert client.noop()[0] == 250


def test_a_client_that_does_not_log_in_is_refused(talk: Talk) -> None:
    _, client = talk(username="ada", password="right")
    client.ehlo()
    assert client.mail("x@mail.example") == (530, b"5.7.0 Authentication required")
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client.login("ada", "wrong")
    client.login("ada", "right")
    assert client.mail("x@mail.example")[0] == 250


def test_data_without_a_recipient_is_not_counted_as_a_mail(talk: Talk) -> None:
    _, client = talk(drop_before_data=1)
    client.ehlo()
    assert client.docmd("DATA")[0] == 503


def test_a_client_that_hangs_up_in_the_middle_does_no_harm(talk: Talk) -> None:
    server, client = talk()
    client.ehlo()
    client.mail("x@mail.example")
    client.rcpt(ADA)
    client.docmd("DATA")
    client.send(b"half a m")
    client.close()
    with smtplib.SMTP(server.host, server.port, "client.example", timeout=10) as other:
        other.sendmail("x@mail.example", [GRACE], BODY)
    assert [each.recipient for each in server.journal()] == [GRACE]


def test_the_end_of_the_block_cuts_what_is_open_and_closes_the_port(tmp_path: Path) -> None:
    async def run() -> int:
        with Journal(tmp_path / "smtp.jsonl") as journal:
            async with serving(SmtpPolicy(), journal, "127.0.0.1", 0) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert (await reader.readline()).startswith(b"220")
            with suppress(ConnectionError):  # a reset or an end, as the system likes
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        return port

    port = asyncio.run(run())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
