import pytest

from tasks.adapters.web_signature import ID, SIGNATURE, TIMESTAMP, SignatureInvalid, sign, verify

KEY = b"a key that nobody will ever guess"
NOW = 1_700_000_000.7


def test_what_was_signed_is_accepted_and_named() -> None:
    headers = sign(b'{"a": 1}', key=KEY, message_id="m1", now=NOW)
    assert verify(b'{"a": 1}', headers, key=KEY, now=NOW + 299) == "m1"


def test_the_signature_is_what_other_tools_make_of_it() -> None:
    # printf 'm1.1700000000.{"a": 1}' | openssl dgst -sha256 -hmac "$KEY" -binary | base64
    headers = sign(b'{"a": 1}', key=KEY, message_id="m1", now=NOW)
    assert headers == {ID: "m1", TIMESTAMP: "1700000000", SIGNATURE: "v1,+AiSQEVLIboIrPK1EYQxXEaMWg6Y2GQYkCw7AsS3U+s="}


@pytest.mark.parametrize("change", [ID, TIMESTAMP, "body", "key"])
def test_whatever_is_changed_is_noticed(change: str) -> None:
    headers, body, key = sign(b"{}", key=KEY, message_id="m1", now=NOW), b"{}", KEY
    if change == "body":
        body = b"{ }"
    elif change == "key":
        key = b"another key"
    else:
        headers[change] = {ID: "m2", TIMESTAMP: str(int(NOW) + 1)}[change]
    with pytest.raises(SignatureInvalid, match="no signature fits"):
        verify(body, headers, key=key, now=NOW)


@pytest.mark.parametrize("off", [-301, 302])
def test_an_old_webhook_is_of_no_use_to_who_caught_it(off: float) -> None:
    headers = sign(b"{}", key=KEY, message_id="m1", now=NOW)
    with pytest.raises(SignatureInvalid, match="clocks"):
        verify(b"{}", headers, key=KEY, now=NOW + off)


@pytest.mark.parametrize("name", [ID, TIMESTAMP, SIGNATURE])
def test_a_missing_header_is_named(name: str) -> None:
    headers = sign(b"{}", key=KEY, message_id="m1", now=NOW)
    del headers[name]
    with pytest.raises(SignatureInvalid, match=name):
        verify(b"{}", headers, key=KEY, now=NOW)


def test_while_a_secret_is_changed_one_of_two_signatures_is_enough() -> None:
    headers = sign(b"{}", key=KEY, message_id="m1", now=NOW)
    headers[SIGNATURE] = f"v1,AAAA v2,xyz {headers[SIGNATURE]}"
    assert verify(b"{}", {name.title(): text for name, text in headers.items()}, key=KEY, now=NOW) == "m1"
