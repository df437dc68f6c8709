"""The misbehaving mail server's side of a conversation, on aiosmtpd."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path
from typing import Any, AnyStr

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, syntax

from understudy import clock

from .smtp_journal import Event, Journal
from .smtp_policy import Conduct, Drop, SmtpPolicy


class Conversation(SMTP):
    """One connection."""

    def __init__(self, server: Server) -> None:
        policy = server.conduct.policy
        super().__init__(
            _Hooks(),
            data_size_limit=policy.max_size or None,
            enable_SMTPUTF8=policy.utf8,
            hostname="localhost",
            ident="misbehaving on purpose",
            tls_context=server.tls if policy.security == "starttls" else None,
            require_starttls=policy.security == "starttls",
            # The library cannot see that a connection is encrypted from the start, so it cannot decide this.
            auth_require_tls=policy.security == "starttls",
            authenticator=self._check_login,
            loop=server.loop,
        )
        self._server = server
        self._conduct = server.conduct
        self._number = 0
        self._mails = 0
        self._drop: Drop | None = None

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._server.conversations.discard(self)

    async def _handle_client(self) -> None:
        self._number = self._server.entered(self)
        if reply := self._conduct.connected():
            self._record(Event.UNAVAILABLE)
            await self._farewell(reply)
        self._record(Event.CONNECTED)
        await super()._handle_client()

    async def push(self, status: AnyStr) -> None:
        if self._conduct.policy.delay_ms:
            await asyncio.sleep(self._conduct.policy.delay_ms / 1000)
        await super().push(status)

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - the library's names
        if reply := self._conduct.begins(self._mails):
            self._record(Event.UNAVAILABLE)
            await self._farewell(reply)
        if self._conduct.policy.username is not None and not (self.session and self.session.authenticated):
            await self.push("530 5.7.0 Authentication required")
            return
        await super().smtp_MAIL(arg)

    def recipient(self, envelope: Envelope, address: str, options: list[str]) -> str:
        """The reply to RCPT."""
        if reply := self._conduct.refuses(address):
            self._record(Event.REFUSED, recipient=address)
            return reply
        if reply := self._conduct.greylists(address, clock.monotonic()):
            self._record(Event.GREYLISTED, recipient=address)
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        ready = self.envelope is not None and self.envelope.rcpt_tos and not arg
        self._drop = self._conduct.data() if ready else None
        if self._drop is Drop.BEFORE_DATA:
            await self._hang_up(Drop.BEFORE_DATA)
        if self._drop is Drop.MID_DATA:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.read(1)
            await self._hang_up(Drop.MID_DATA)
        await super().smtp_DATA(arg)

    async def mail(self, envelope: Envelope) -> str:
        """The reply to the dot. The journal knows of the mail first."""
        if self._drop is Drop.AFTER_DOT:
            await self._hang_up(Drop.AFTER_DOT)
        content = envelope.original_content or b""
        self._server.keep(content)
        message_id = message_from_bytes(content, policy=compat32).get("Message-ID", "")
        for recipient in envelope.rcpt_tos:
            self._record(Event.ACCEPTED, recipient=recipient, message_id=str(message_id), size=len(content))
        self._mails += 1
        self._conduct.accepted()
        if self._drop is Drop.REPLY:
            await self._hang_up(Drop.REPLY)
        return "250 2.0.0 OK"

    def _check_login(self, _: SMTP, __: Session, ___: Envelope, ____: str, given: Any) -> AuthResult:
        policy = self._conduct.policy
        right = (
            isinstance(given, LoginPassword)
            and hmac.compare_digest(given.login, (policy.username or "").encode())
            and hmac.compare_digest(given.password, (policy.password or "").encode())
        )
        return AuthResult(success=right, handled=False)

    def _record(self, event: Event, **fields: Any) -> None:
        self._server.journal.record(event, **fields, connection=self._number)

    async def _hang_up(self, where: Drop) -> None:
        recipients = [] if self.envelope is None else self.envelope.rcpt_tos
        self._record(Event.DROPPED, where=where.value, recipients=recipients)
        if self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]
        await self._until_closed()

    async def _farewell(self, reply: str) -> None:
        await self.push(reply)
        if self.transport is not None:
            self.transport.close()
        await self._until_closed()

    async def _until_closed(self) -> None:
        # connection_lost() cancels this task: nothing after the call runs.
        await self._server.loop.create_future()


class _Hooks:
    """The library's hooks: one object beside the conversation, which has a ``handle_exception`` of its own."""

    async def handle_RCPT(  # noqa: N802
        self, conversation: Conversation, _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        return conversation.recipient(envelope, address, options)

    async def handle_DATA(self, conversation: Conversation, _: Session, envelope: Envelope) -> str:  # noqa: N802
        return await conversation.mail(envelope)


class Server:
    """What the connections share."""

    def __init__(self, conduct: Conduct, journal: Journal, messages: Path | None = None) -> None:
        self.conduct = conduct
        self.journal = journal
        self.loop = asyncio.get_running_loop()
        self.tls = _context(conduct.policy.certificate, conduct.policy.key)
        self.conversations: set[Conversation] = set()
        self._messages = messages
        self._numbers = itertools.count(1)
        self._kept = itertools.count(1)

    def entered(self, conversation: Conversation) -> int:
        self.conversations.add(conversation)
        return next(self._numbers)

    def keep(self, content: bytes) -> None:
        """Write an accepted mail to the directory of messages, when there is one."""
        if self._messages is not None:
            (self._messages / f"{next(self._kept):06d}.eml").write_bytes(content)

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve inside the block. Gives the port; 0 takes a free one. Open connections are cut at the end."""
        implicit = self.tls if self.conduct.policy.security == "ssl" else None
        factory: Callable[[], Conversation] = lambda: Conversation(self)  # noqa: E731
        listener = await self.loop.create_server(factory, host, port, ssl=implicit)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            await self._cut()
            await listener.wait_closed()

    async def _cut(self) -> None:
        tasks = [each._handler_coroutine for each in self.conversations if each._handler_coroutine]
        for conversation in list(self.conversations):
            if conversation.transport is not None:
                conversation.transport.abort()  # type: ignore[attr-defined]
        await asyncio.gather(*tasks, return_exceptions=True)


def _context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def serving(
    policy: SmtpPolicy, journal: Journal, host: str, port: int, messages: Path | None = None
) -> AbstractAsyncContextManager[int]:
    """Serve inside the block, in the running loop; gives the port. ``messages``: a directory for what is
    accepted, made when it is missing."""
    if messages is not None:
        messages.mkdir(parents=True, exist_ok=True)
    asyncio.get_running_loop().set_exception_handler(_quietly)
    conduct = Conduct(policy, started=clock.monotonic())
    return Server(conduct, journal, messages).listening(host, port)


def _quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A client that hangs up while it is being answered is what this server is for.
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)
