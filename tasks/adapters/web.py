"""Webhooks, as an actor sees them::

    reply = open_web().post(url, b"{}", message_id="...")

Signed, to an address that was checked, without following redirects. ``web_answers`` sorts what may be raised.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

import urllib3

from understudy import clock
from understudy.errors import SettingsError

from .seam import Seam
from .web_address import Destination, DestinationRefused, check_destination
from .web_answers import Refused, Reply, Unreachable, is_transient, seconds_of
from .web_deadline import Deadline
from .web_memory import MemoryWeb
from .web_settings import WebhookSettings
from .web_signature import SignatureInvalid, sign, verify

__all__ = [
    "Destination",
    "DestinationRefused",
    "HttpWeb",
    "MemoryWeb",
    "Refused",
    "Reply",
    "SignatureInvalid",
    "Unreachable",
    "Web",
    "WebhookSettings",
    "check_destination",
    "is_transient",
    "open_web",
    "sign",
    "use_web",
    "verify",
]

#: Bytes of an answer that are read: what it says beyond its status interests nobody.
MOST_OF_AN_ANSWER = 16 * 1024


class Web(Protocol):
    """Sends webhooks."""

    def post(self, url: str, body: bytes, *, message_id: str) -> Reply:
        """Post ``body``. Returns when the receiver has said 2xx; otherwise raises, see ``web_answers``."""


class HttpWeb:
    """A ``Web`` over HTTP. A connection for each webhook: receivers are many, and each is called now and then."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    def post(self, url: str, body: bytes, *, message_id: str) -> Reply:
        """Post ``body``.

        Raises:
          SettingsError: there is no secret to sign with.
          DestinationRefused: the URL leads where it may not, or the body is too large.
          Refused: the receiver answered, and not with 2xx. A redirect is such an answer.
          Unreachable: there was no answer.
        """
        settings = self._settings
        if settings.key is None:
            raise SettingsError(
                ["WEBHOOK_SECRET is not set, so nothing can be signed; set one, and tell the receivers"]
            )
        if len(body) > settings.max_size:
            raise DestinationRefused(
                f"the body is {len(body):,} bytes, the limit is {settings.max_size:,}; send where the data can be "
                "fetched, or raise WEBHOOK_MAX_SIZE"
            )
        with Deadline(settings.timeout) as deadline:
            try:
                destination = check_destination(url, allowed=settings.networks)
            except OSError as error:
                raise Unreachable(f"the receiver's name cannot be looked up: {error.strerror or error}") from None
            headers = {
                "Host": destination.host_header,
                "Content-Type": "application/json",
                "User-Agent": "understudy",
                **sign(body, key=settings.key, message_id=message_id, now=clock.now()),
            }
            status, retry_after = self._exchange(destination, body, headers, deadline)
        if not 200 <= status < 300:
            raise Refused(status, seconds_of(retry_after, now=clock.now()))
        return Reply(status)

    def _exchange(
        self, destination: Destination, body: bytes, headers: dict[str, str], deadline: Deadline
    ) -> tuple[int, str | None]:
        with self._pool(destination, deadline) as pool:
            try:
                answer = pool.urlopen(
                    "POST",
                    destination.target,
                    body=body,
                    headers=headers,
                    redirect=False,
                    retries=False,
                    assert_same_host=False,
                    preload_content=False,
                )
            except urllib3.exceptions.HTTPError as error:
                self._check(deadline, tired=_is_tired(error))
                # Its text names the host and the path: what is in a URL belongs in no log.
                raise Unreachable(f"the receiver did not answer ({type(error).__name__})") from None
            # To a parser the end of a connection is the end of headers too.
            self._check(deadline)
            # Read, so that it is not cut off while it says it; but all that matters has been said.
            with suppress(urllib3.exceptions.HTTPError):
                answer.read(MOST_OF_AN_ANSWER, decode_content=False)
            answer.close()
            return answer.status, answer.headers.get("retry-after")

    def _check(self, deadline: Deadline, *, tired: bool = False) -> None:
        if deadline.over or tired:
            raise Unreachable(f"the receiver did not answer within {deadline.seconds:g} s") from None

    def _pool(self, destination: Destination, deadline: Deadline) -> Any:
        if destination.scheme == "http":
            return deadline.pool(urllib3.HTTPConnectionPool, destination.address, destination.port)
        return deadline.pool(
            urllib3.HTTPSConnectionPool,
            destination.address,
            destination.port,
            ssl_context=ssl.create_default_context(cafile=self._settings.ca_file),
            # Who answers must be who was meant, wherever the name led to.
            server_hostname=destination.host,
            assert_hostname=destination.host,
        )


def _is_tired(error: urllib3.exceptions.HTTPError) -> bool:
    """A socket has waited for as long as it may. It may all that is left, so this and the deadline are one moment."""
    return isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    )


_seam: Seam[Web, WebhookSettings] = Seam(HttpWeb, WebhookSettings)


def open_web(settings: WebhookSettings | None = None) -> Web:
    """What sends webhooks, by these settings (default: the environment's).

    Raises:
      understudy.errors.SettingsError: the environment's ``WEBHOOK_*`` are wrong.
    """
    return _seam.open(settings)


def use_web(factory: Callable[[], Web]) -> AbstractContextManager[None]:
    """Inside the block ``open_web`` returns ``factory()``, in every thread: the seam for tests."""
    return _seam.use(factory)
