"""The sender of webhooks against real receivers on sockets."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tasks.adapters.web import (
    DestinationRefused,
    HttpWeb,
    MemoryWeb,
    Refused,
    Unreachable,
    WebhookSettings,
    open_web,
    use_web,
    verify,
)
from tasks.adapters.web_deadline import Deadline
from tests.tasks.adapters.dripping import dripping
from tests.tasks.adapters.receiving import Receiver, receiver
from understudy import clock
from understudy.errors import SettingsError

SECRET = "a key that nobody will ever guess"
Receive = Callable[..., Receiver]


def web(**options: Any) -> HttpWeb:
    return HttpWeb(
        WebhookSettings(**{"secret": SECRET, "allowed_networks": ("127.0.0.0/8", "::1/128"), "timeout": 5, **options})
    )


@pytest.fixture
def receive() -> Iterator[Receive]:
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(receiver(*args))


def test_a_webhook_arrives_signed(receive: Receive) -> None:
    target = receive()
    assert web().post(target.url("/hook?x=1"), b'{"a": 1}', message_id="m1").status == 200
    ((method, path, headers, body),) = target.seen
    assert (method, path, body) == ("POST", "/hook?x=1", b'{"a": 1}')
    assert headers["host"] == f"localhost:{target.port}"
    assert headers["content-type"] == "application/json"
    assert verify(body, headers, key=SECRET.encode(), now=clock.now()) == "m1"


def test_over_tls_the_receiver_must_be_who_was_meant(receive: Receive, certificate: str, key: str) -> None:
    target = receive(certificate, key)
    assert web(ca_file=certificate).post(target.url(), b"{}", message_id="m1").status == 200
    with pytest.raises(Unreachable, match="SSLError"):
        web().post(target.url(), b"{}", message_id="m1")  # nobody has vouched for it
    assert len(target.seen) == 1


def test_a_certificate_for_another_name_is_not_enough(
    receive: Receive, certificate: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = receive(certificate, key)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kw: real("127.0.0.1", *args, **kw))
    with pytest.raises(Unreachable, match="SSLError"):
        web(ca_file=certificate).post(target.url(host="other.example"), b"{}", message_id="m1")
    assert target.seen == []


def test_a_name_that_changes_after_it_was_checked_gains_nothing(
    receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = receive()
    real, asked = socket.getaddrinfo, []

    def rebinding(host: str, *args: Any, **kw: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *args, **kw)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    web().post(target.url(host="rebinding.example"), b"{}", message_id="m1")
    assert asked.count("rebinding.example") == 1  # it is connected to the address, not to the name
    assert target.seen[0][2]["host"] == f"rebinding.example:{target.port}"


def test_this_machine_is_refused_unless_it_is_named(receive: Receive) -> None:
    target = receive()
    with pytest.raises(DestinationRefused, match="not public"):
        web(allowed_networks=()).post(target.url(), b"{}", message_id="m1")
    assert target.seen == []


def test_a_redirect_is_not_followed(receive: Receive) -> None:
    target = receive()
    target.answers = [(302, {"location": "http://127.0.0.1:1/"})]
    with pytest.raises(Refused) as caught:
        web().post(target.url(), b"{}", message_id="m1")
    assert caught.value.status == 302
    assert len(target.seen) == 1


def test_a_receiver_says_when_to_come_again(receive: Receive) -> None:
    target = receive()
    target.answers = [(429, {"retry-after": "17"}), (503, {})]
    for status, retry_after in ((429, 17.0), (503, None)):
        with pytest.raises(Refused) as caught:
            web().post(target.url(), b"{}", message_id="m1")
        assert (caught.value.status, caught.value.retry_after) == (status, retry_after)


def test_a_receiver_that_never_answers_is_given_up(receive: Receive) -> None:
    target = receive()
    target.silent = True
    with pytest.raises(Unreachable, match="did not answer"):
        web(timeout=0.2).post(target.url(), b"{}", message_id="m1")


TLS_RECORD = b"\x16\x03\x03\x3f\x00"


@pytest.mark.parametrize(
    ("scheme", "begins", "drop"),
    [
        ("http", b"", b"H"),
        ("http", b"HTTP/1.1 200 OK\r\n", b"x"),
        ("http", b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        ("https", TLS_RECORD, b"\0"),
    ],
    ids=["status line", "one header", "many headers", "handshake"],
)
def test_a_receiver_that_answers_drop_by_drop_is_given_up_all_the_same(scheme: str, begins: bytes, drop: bytes) -> None:
    with dripping(begins, drop) as drip:
        with pytest.raises(Unreachable, match=r"did not answer within 0.3 s"):
            web(timeout=0.3).post(f"{scheme}://127.0.0.1:{drip.port}/", b"{}", message_id="m1")
        drip.hung_up.wait(30)
        assert 0 < drip.drops < drip.most / 2, "it was cut off, and had not come to an end"


def test_a_socket_that_is_tired_of_waiting_before_the_deadline_cuts_it_says_the_same(
    receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both end at the same time, and which of them is first is chance."""
    monkeypatch.setattr(Deadline, "_cut", lambda self: None)
    target = receive()
    target.silent = True
    with pytest.raises(Unreachable, match=r"did not answer within 0.3 s"):
        web(timeout=0.3).post(target.url(), b"{}", message_id="m1")
    with dripping(TLS_RECORD, b"\0") as drip, pytest.raises(Unreachable, match=r"did not answer within 0.3 s"):
        web(timeout=0.3).post(f"https://127.0.0.1:{drip.port}/", b"{}", message_id="m1")


def test_what_follows_its_status_keeps_nobody() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", b"x") as drip:
        assert web(timeout=0.3).post(f"http://127.0.0.1:{drip.port}/", b"{}", message_id="m1").status == 200
        drip.hung_up.wait(30)
        assert drip.drops < drip.most / 2


def test_nothing_of_a_url_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with receiver() as target, caplog.at_level(logging.DEBUG):
        web().post(target.url("/token-abc?key=token-def"), b"{}", message_id="m1")
        target.answers = [(500, {})]
        with pytest.raises(Refused):
            web().post(target.url("/token-abc"), b"{}", message_id="m1")
        with dripping(b"HTTP/1.1 200 OK\r\n", b"x") as drip, pytest.raises(Unreachable):
            web(timeout=0.1).post(f"http://127.0.0.1:{drip.port}/token-abc", b"{}", message_id="m1")
    assert "token-" not in caplog.text


def test_where_nobody_listens_nothing_of_the_url_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/token-abc"
    with pytest.raises(Unreachable) as caught:
        web().post(url, b"{}", message_id="m1")
    assert "token-abc" not in str(caught.value)


def test_a_name_that_nobody_knows_may_be_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kw: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unreachable, match="looked up"):
        web().post("https://nobody.example/", b"{}", message_id="m1")


def test_a_body_above_the_limit_is_refused(receive: Receive) -> None:
    target = receive()
    with pytest.raises(DestinationRefused, match="WEBHOOK_MAX_SIZE"):
        web(max_size=3).post(target.url(), b"{  }", message_id="m1")
    assert target.seen == []


def test_without_a_secret_nothing_is_sent(receive: Receive) -> None:
    target = receive()
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET"):
        web(secret=None).post(target.url(), b"{}", message_id="m1")
    assert target.seen == []


def test_the_memory_web_takes_the_place_of_the_real_one() -> None:
    double = MemoryWeb()
    with use_web(lambda: double):
        open_web().post("https://receiver.example/", b'{"a": 1}', message_id="m1")
    assert double.posted == [("https://receiver.example/", "m1", {"a": 1})]
    assert isinstance(open_web(WebhookSettings()), HttpWeb)
