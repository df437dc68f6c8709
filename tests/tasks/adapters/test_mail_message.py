from typing import Any

import pytest

from tasks.adapters.mail_address import InvalidAddress
from tasks.adapters.mail_message import Email

ADA = "ada@mail.example"


def test_the_address_is_kept_in_its_normal_form() -> None:
    assert Email(" ada@MAIL.example", "Hello", "Hello, Ada.").to == ADA


def test_a_mail_needs_an_address() -> None:
    with pytest.raises(InvalidAddress):
        Email("ada", "Hello", "Hello, Ada.")


def test_a_mail_needs_content() -> None:
    with pytest.raises(ValueError, match="text and html are both missing"):
        Email(ADA, "Hello")


def test_an_empty_text_is_content() -> None:
    assert Email(ADA, "Hello", "").text == ""


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n", "\x00", "\u2028", "\x85"])
def test_a_line_break_in_a_header_is_refused_and_the_field_named(newline: str) -> None:
    evil = f"Hello{newline}Bcc: eve@mail.example"
    with pytest.raises(ValueError, match=r"^subject contains a line break"):
        Email(ADA, evil, "x")
    with pytest.raises(ValueError, match=r"^headers\['X-Tag'\] contains a line break"):
        Email(ADA, "Hello", "x", headers={"X-Tag": evil})
    with pytest.raises(ValueError, match="is not the name of a header"):
        Email(ADA, "Hello", "x", headers={f"X{newline}Bcc": "eve@mail.example"})


@pytest.mark.parametrize("name", ["", "X Tag", "X-Tag:", "X-Ä"])
def test_a_header_needs_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a header"):
        Email(ADA, "Hello", "x", headers={name: "y"})


@pytest.mark.parametrize("name", ["To", "BCC", "cc", "From", "Subject", "Message-ID", "Content-Type", "Date"])
def test_headers_made_from_the_mail_itself_cannot_be_given(name: str) -> None:
    with pytest.raises(ValueError, match=f"headers: {name} is made from the mail itself"):
        Email(ADA, "Hello", "x", headers={name: "y"})


@pytest.mark.parametrize("field", ["subject", "text", "html"])
def test_half_a_character_is_refused_and_the_field_named(field: str) -> None:
    values: dict[str, Any] = {"subject": "Hello", "text": "x", "html": "x", field: "x\ud83d"}
    with pytest.raises(ValueError, match=f"^{field} contains half a character .* at 1"):
        Email(ADA, **values)
