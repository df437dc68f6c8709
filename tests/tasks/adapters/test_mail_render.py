import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters.mail_address import Sender
from tasks.adapters.mail_message import Email
from tasks.adapters.mail_render import Letter, render

ADA = "ada@mail.example"
SENDER = Sender("Understudy", "no-reply@understudy.example")


def parsed(letter: Letter) -> EmailMessage:
    return message_from_bytes(letter.payload, policy=default)


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_a_text_mail_is_one_plain_part() -> None:
    letter = render(Email(ADA, "Hello", "Hello, Ada.\n"), SENDER)
    message = parsed(letter)
    assert (letter.sender, letter.recipient, letter.utf8) == (SENDER.address, ADA, False)
    assert message.get_content_type() == "text/plain"
    assert message["From"] == "Understudy <no-reply@understudy.example>"
    assert message["To"] == ADA
    assert message.get_content() == "Hello, Ada.\r\n"


def test_an_html_mail_is_one_html_part() -> None:
    message = parsed(render(Email(ADA, "Hello", html="<p>Hello</p>"), SENDER))
    assert message.get_content_type() == "text/html"


def test_text_and_html_are_alternatives_the_richer_one_last() -> None:
    message = parsed(render(Email(ADA, "Hello", "Grüße", "<p>Grüße</p>"), SENDER))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body(message, "plain").strip() == "Grüße"
    assert body(message, "html").strip() == "<p>Grüße</p>"


def test_a_utf8_subject_arrives_and_travels_in_ascii() -> None:
    letter = render(Email(ADA, "Grüße an alle 🎭 " * 10, "x"), SENDER)
    assert letter.payload.isascii()
    assert parsed(letter)["Subject"].strip() == ("Grüße an alle 🎭 " * 10).strip()


@given(subject=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="?="), max_size=300))
def test_every_subject_arrives(subject: str) -> None:
    letter = render(Email(ADA, subject, "x"), SENDER)
    squeezed = " ".join(parsed(letter)["Subject"].split())
    assert squeezed == " ".join(subject.split())
    assert max(map(len, letter.payload.split(b"\r\n"))) <= 998


@given(text=st.text(st.characters(codec="utf-8"), max_size=500))
def test_every_text_arrives_with_crlf_line_ends_only(text: str) -> None:
    letter = render(Email(ADA, "Hello", text), SENDER)
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", letter.payload) is None
    assert max(map(len, letter.payload.split(b"\r\n"))) <= 998
    sent = re.sub(r"\r\n|\r", "\n", text)
    arrived = parsed(letter).get_content().replace("\r\n", "\n")
    assert arrived.removesuffix("\n") == sent.removesuffix("\n")


def test_a_long_url_in_a_header_stays_readable() -> None:
    url = "<https://mail.example/unsubscribe/" + "a1B2" * 60 + ">"
    letter = render(Email(ADA, "Hello", "x", headers={"List-Unsubscribe": f"{url}, <mailto:{ADA}>"}), SENDER)
    assert url.encode() in letter.payload


def test_a_word_longer_than_a_line_may_be_is_encoded() -> None:
    letter = render(Email(ADA, "x" * 5000, "x"), SENDER)
    assert max(map(len, letter.payload.split(b"\r\n"))) <= 998
    assert parsed(letter)["Subject"] == "x" * 5000


def test_a_header_outside_ascii_is_encoded() -> None:
    letter = render(Email(ADA, "Hello", "x", headers={"X-Tag": "Bühne"}), SENDER)
    assert letter.payload.isascii()
    assert parsed(letter)["X-Tag"] == "Bühne"


@freeze_time("2026-03-01 12:00:00")
def test_the_date_is_now() -> None:
    assert parsed(render(Email(ADA, "Hello", "x"), SENDER))["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"


def message_id(to: str = ADA, key: str | None = "campaign-1") -> str:
    return render(Email(to, "Hello", "x", message_key=key), SENDER).message_id


def test_the_message_id_follows_from_the_key_and_the_address() -> None:
    assert message_id() == "<facc6e1de502dbef93a25ddf9f84dc1aabc4702c@understudy.example>"
    assert message_id() == message_id(to=" ada@MAIL.example")
    assert message_id() != message_id(to="grace@mail.example")
    assert message_id() != message_id(key="campaign-2")


def test_without_a_key_every_message_id_is_new() -> None:
    assert message_id(key=None) != message_id(key=None)


def test_the_message_id_stands_in_the_mail() -> None:
    letter = render(Email(ADA, "Hello", "x", message_key="k"), Sender("", f"x@{'long.' * 20}example"))
    assert f"Message-ID: {letter.message_id}\r\n".encode() in letter.payload


def test_an_international_domain_needs_no_special_server() -> None:
    letter = render(Email("ada@müller.example", "Hello", "x"), SENDER)
    assert letter.recipient == "ada@xn--mller-kva.example"
    assert not letter.utf8


@pytest.mark.parametrize(("to", "sender"), [("jörg@mail.example", SENDER), (ADA, Sender("", "jörg@mail.example"))])
def test_a_local_part_outside_ascii_needs_smtputf8(to: str, sender: Sender) -> None:
    letter = render(Email(to, "Grüße", "x"), sender)
    assert letter.utf8
    assert "jörg@mail.example".encode() in letter.payload


def test_names_are_quoted_and_encoded() -> None:
    message = parsed(render(Email(ADA, "Hello", "x"), Sender('Jörg "J", Acme', "j@mail.example")))
    assert message["From"].addresses[0].display_name == 'Jörg "J", Acme'
    assert message["From"].addresses[0].addr_spec == "j@mail.example"
