import ipaddress
import socket
from typing import Any

import pytest

from tasks.adapters.web_address import DestinationRefused, check_destination

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        kinds = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (kinds[ipaddress.ip_address(text.partition("%")[0]).version], socket.SOCK_STREAM, 6, "", (text, port))
            for text in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "2001:0:1::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_what_is_not_public_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, address)
    with pytest.raises(DestinationRefused, match="WEBHOOK_ALLOWED_NETWORKS"):
        check_destination("https://innocent.example/hook")


def test_one_bad_address_among_good_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "93.184.215.14", "10.0.0.1")
    with pytest.raises(DestinationRefused, match="not public"):
        check_destination("https://innocent.example/hook")


def test_the_address_that_was_checked_is_the_one_to_connect_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "93.184.215.14")
    found = check_destination("https://Receiver.example:8443/a/b?c=d#fragment")
    assert (found.address, found.host, found.port) == ("93.184.215.14", "receiver.example", 8443)
    assert found.target == "/a/b?c=d"
    assert found.host_header == "receiver.example:8443"


@pytest.mark.parametrize("url", ["http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/"])
def test_other_spellings_of_this_machine_are_this_machine(url: str) -> None:
    with pytest.raises((DestinationRefused, OSError)):
        check_destination(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://receiver.example/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("//receiver.example/", "https://"),
        ("https://user:secret@receiver.example/", "login"),
        ("https:///path", "no host"),
        ("https://receiver.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://receiver.example/\r\nX: y", "printable"),
        ("https://münchen.example/", "ASCII"),
        ("https://receiver.example/" + "a" * 2_000, "2000"),
    ],
)
def test_what_is_no_url_for_this_is_refused_and_not_repeated(url: str, why: str) -> None:
    with pytest.raises(DestinationRefused, match=why) as caught:
        check_destination(url)
    assert "secret" not in str(caught.value)


def test_a_network_that_is_named_may_be_reached_also_in_the_clear() -> None:
    found = check_destination("http://127.0.0.1:8080/", allowed=LOOPBACK)
    assert (found.address, found.host_header) == ("127.0.0.1", "127.0.0.1:8080")
    assert check_destination("http://[::1]/", allowed=LOOPBACK).host_header == "[::1]"


def test_outside_of_named_networks_the_url_must_be_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "93.184.215.14")
    with pytest.raises(DestinationRefused, match="not encrypted"):
        check_destination("http://receiver.example/", allowed=LOOPBACK)
