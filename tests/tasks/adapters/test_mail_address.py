import pytest

from tasks.adapters.mail_address import InvalidAddress, Sender, check_address, check_sender, envelope_address, mailbox


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  ada@example.com\t", "ada@example.com"),
        ("Ada.Lovelace+maths@EXAMPLE.Com", "Ada.Lovelace+maths@example.com"),
        ("ada@mail.test", "ada@mail.test"),
        ("ada@mail.example", "ada@mail.example"),
        ("ada@müller.example", "ada@müller.example"),
        ("ada@xn--mller-kva.example", "ada@müller.example"),
        ("jo\u0308rg@mail.example", "jörg@mail.example"),
    ],
)
def test_an_address_has_one_normal_form(given: str, normal: str) -> None:
    assert check_address(given) == normal
    assert check_address(normal) == normal


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "must have an @-sign"),
        ("ada", "must have an @-sign"),
        ("@mail.example", "something before the @-sign"),
        ("ada@", "something after the @-sign"),
        ("ada@gmail", "should have a period"),
        ("ada lovelace@mail.example", "SPACE"),
        ("ada..l@mail.example", "two periods"),
        ("ada@mail.example\nBcc: eve@mail.example", "invalid characters"),
        ("ada@mail.example\r\n", "invalid characters"),
        ("Ada <ada@mail.example>", "display name"),
        ("ada@a.example,eve@b.example", "invalid characters"),
        ("ada@[127.0.0.1]", "bracketed IP address"),
        ("ada@localhost", "special-use"),
        ("ada@mail.invalid", "special-use"),
        ("a" * 65 + "@" + "b" * 250 + ".example", "too long"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(given: str, reason: str) -> None:
    with pytest.raises(InvalidAddress, match=reason):
        check_address(given)


@pytest.mark.parametrize("given", [None, 5, b"ada@mail.example"])
def test_what_is_no_text_is_no_address(given: object) -> None:
    with pytest.raises(InvalidAddress, match="is a text, not"):
        check_address(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "sender"),
    [
        ("ada@mail.example", Sender("", "ada@mail.example")),
        ("<ada@mail.example>", Sender("", "ada@mail.example")),
        ("Ada Lovelace <ada@mail.example>", Sender("Ada Lovelace", "ada@mail.example")),
        ('"Acme, Inc." <ada@mail.example>', Sender("Acme, Inc.", "ada@mail.example")),
        ("Acme, Inc. <ada@mail.example>", Sender("Acme, Inc.", "ada@mail.example")),
        ("Understudy <no-reply@localhost>", Sender("Understudy", "no-reply@localhost")),
    ],
)
def test_a_sender_is_a_name_and_an_address(given: str, sender: Sender) -> None:
    assert check_sender(given) == sender


@pytest.mark.parametrize("given", ["", "Ada", "Ada <ada>", "Ada\r\nBcc: eve@mail.example <ada@mail.example>"])
def test_what_is_no_sender_is_refused(given: str) -> None:
    with pytest.raises(InvalidAddress):
        check_sender(given)


def test_a_domain_stands_on_the_envelope_in_ascii() -> None:
    assert envelope_address("ada@müller.example") == "ada@xn--mller-kva.example"
    assert envelope_address("jörg@mail.example") == "jörg@mail.example"


@pytest.mark.parametrize(
    ("written", "same"),
    [
        (" Ada@MAIL.example ", "ada@mail.example"),
        ("ada@münchen.example", "ada@xn--mnchen-3ya.example"),
        ("ada@MU\u0308NCHEN.example", "ada@XN--mnchen-3ya.example"),
        ("jose\u0301@mail.example", "jos\u00e9@mail.example"),
    ],
)
def test_one_mailbox_is_one_however_it_is_written(written: str, same: str) -> None:
    assert mailbox(written) == mailbox(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a@straße.example", "a@strasse.example"),
        ("\ufb01n@mail.example", "fin@mail.example"),
        ("ß@m.example", "ss@m.example"),
    ],
)
def test_two_mailboxes_stay_two(one: str, other: str) -> None:
    assert mailbox(one) != mailbox(other)


@pytest.mark.parametrize("text", ["", "No Address", "Ada@ü..example"])
def test_text_that_is_no_address_stands_for_itself(text: str) -> None:
    assert mailbox(f" {text} ") == text
