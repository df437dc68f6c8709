import smtplib
import socket
import ssl

import pytest

from tasks.adapters.mail_address import InvalidAddress
from tasks.adapters.mail_errors import (
    AddressNotSupported,
    DeliveryInDoubt,
    describe,
    in_doubt,
    is_cut,
    is_put_off,
    is_recipient_failure,
    is_transient,
    says_nothing,
)


def refused(code: int, text: bytes = b"no") -> smtplib.SMTPRecipientsRefused:
    return smtplib.SMTPRecipientsRefused({"ada@mail.example": (code, text)})


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


TRANSIENT = [
    refused(450),
    refused(421),
    refused(-1),
    smtplib.SMTPSenderRefused(451, b"later", "x@mail.example"),
    smtplib.SMTPDataError(452, b"full"),
    smtplib.SMTPConnectError(421, b"busy"),
    smtplib.SMTPAuthenticationError(454, b"later"),
    smtplib.SMTPServerDisconnected("gone"),
    ConnectionRefusedError(111, "Connection refused"),
    TimeoutError("timed out"),
    socket.gaierror(-3, "Temporary failure in name resolution"),
    tls_error("UNEXPECTED_EOF_WHILE_READING"),
]
RECIPIENT = [
    refused(550),
    refused(553),
    smtplib.SMTPDataError(554, b"spam"),
    smtplib.SMTPDataError(552, b"too big"),
    smtplib.SMTPSenderRefused(552, b"too big", "x@mail.example"),
    InvalidAddress("An email address must have an @-sign."),
    AddressNotSupported("no SMTPUTF8"),
]
IN_DOUBT = [DeliveryInDoubt()]
HOPELESS = [
    refused(530),
    refused(503),
    smtplib.SMTPSenderRefused(550, b"not you", "x@mail.example"),
    smtplib.SMTPAuthenticationError(535, b"wrong"),
    smtplib.SMTPConnectError(554, b"go away"),
    smtplib.SMTPNotSupportedError("no STARTTLS"),
    smtplib.SMTPException("odd"),
    ssl.SSLCertVerificationError("self-signed"),
    tls_error("WRONG_VERSION_NUMBER"),
    ValueError("not about mail"),
    KeyError("x"),
]


@pytest.mark.parametrize("exc", [*TRANSIENT, *RECIPIENT, *IN_DOUBT, *HOPELESS], ids=repr)
def test_every_failure_is_of_one_kind(exc: Exception) -> None:
    assert is_transient(exc) == (exc in TRANSIENT)
    assert is_recipient_failure(exc) == (exc in RECIPIENT)
    assert in_doubt(exc) == (exc in IN_DOUBT)


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (refused(550, b"5.1.1 no such user"), "550 5.1.1 no such user"),
        (refused(550, b"5.1.1 <ada@mail.example>: unknown"), "550 5.1.1 <address>: unknown"),
        (refused(550, b"5.1.1 user ada@mail.example unknown"), "550 5.1.1 user address unknown"),
        (refused(550, b"5.7.1 one\n5.7.1 two\nthree"), "550 5.7.1 one two three"),
        (refused(550, "5.1.1 größe".encode()), "550 5.1.1 größe"),
        (refused(550, b"5.1.1 \xff\x1b[31m"), "550 5.1.1 � [31m"),
        (refused(550, b""), "550"),
        (smtplib.SMTPRecipientsRefused({}), "-1"),
        (smtplib.SMTPResponseException(500, "Line too long."), "500 Line too long."),
        (smtplib.SMTPSenderRefused(451, b"later", "x@mail.example"), "451 later"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "no answer in time"),
        (smtplib.SMTPServerDisconnected("gone"), "gone"),
        (DeliveryInDoubt(), "the connection was lost before the server answered"),
        (InvalidAddress("There must be something after the @-sign."), "There must be something after the @-sign."),
        (OSError(), "OSError"),
        (ValueError("for ada@mail.example\nand so on"), "for address and so on"),
    ],
    ids=str,
)
def test_a_reason_is_short_and_names_no_address(exc: Exception, reason: str) -> None:
    assert describe(exc) == reason


def test_a_long_reason_is_cut() -> None:
    assert len(describe(refused(550, b"x" * 5000))) == 200


def test_an_untrusted_certificate_is_called_so() -> None:
    error = ssl.SSLCertVerificationError("x")
    error.verify_message = "self-signed certificate"
    assert describe(error) == "the server's certificate is not trusted: self-signed certificate"


def test_a_doubt_can_be_rebuilt_from_its_arguments() -> None:
    doubt = DeliveryInDoubt()
    assert str(type(doubt)(*doubt.args)) == str(doubt)


def test_a_recipient_is_put_off_by_a_4xx_and_by_nothing_else() -> None:
    assert is_put_off(smtplib.SMTPRecipientsRefused({"ada@mail.example": (450, b"greylisted")}))
    assert is_put_off(smtplib.SMTPDataError(451, b"later"))
    assert not is_put_off(smtplib.SMTPDataError(550, b"never"))
    assert not is_put_off(smtplib.SMTPServerDisconnected("gone"))


def test_a_cut_is_certain_a_lost_answer_is_not_a_cut() -> None:
    assert is_cut(smtplib.SMTPServerDisconnected("gone"))
    assert not is_cut(DeliveryInDoubt())
    assert not is_cut(ConnectionRefusedError())


def test_only_the_general_exception_says_nothing() -> None:
    assert says_nothing(smtplib.SMTPException("down"))
    assert not says_nothing(smtplib.SMTPServerDisconnected("gone"))
