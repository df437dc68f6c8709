"""How the misbehaving mail server misbehaves: what it was told (``SmtpPolicy``) and what that means now
(``Conduct``). Nothing here touches a socket."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Drop(StrEnum):
    """Where in a mail the server drops the connection."""

    BEFORE_DATA = "before_data"
    """Instead of answering DATA: the sender knows that nothing was delivered."""
    MID_DATA = "mid_data"
    """In the middle of the mail. Not accepted; a sender that had already sent all of it cannot know."""
    AFTER_DOT = "after_dot"
    """After the end of the mail. Not accepted, and the sender cannot know."""
    REPLY = "reply"
    """After the mail was accepted, instead of saying so. Delivered, and the sender cannot know."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class SmtpPolicy:
    """What the server is told to do. The default is to behave.

    Raises:
      ValueError: a value that cannot be; the message names the field.
    """

    refuse: tuple[str, ...] = _option((), "addresses refused for good, in any case of letters")
    refuse_pattern: str | None = _option(None, "regular expression of addresses refused for good")
    refuse_reply: str = _option("550 5.1.1 no such user", "the reply to those")
    greylist: int = _option(0, "turn away each address the first N times")
    greylist_commands: int = _option(0, "turn away the first N RCPT commands, whoever they name")
    greylist_seconds: float = _option(0.0, "turn away everybody in the first N seconds")
    greylist_pattern: str | None = _option(None, "turn away only addresses that match this regular expression")
    greylist_reply: str = _option("451 4.7.1 greylisted, try again later", "the reply to those")
    drop_before_data: int = _option(0, "drop the connection instead of answering every Nth DATA")
    drop_mid_data: int = _option(0, "drop the connection in the middle of every Nth mail")
    drop_after_dot: int = _option(0, "drop the connection after every Nth mail, without accepting it")
    drop_reply: int = _option(0, "accept every Nth mail and drop the connection instead of saying so")
    outage_after: int = _option(0, "after N accepted mails, say 421 and close ...")
    outage_connections: int = _option(0, "... and so to the next N connections")
    messages_per_connection: int = _option(0, "say 421 and close after N mails of one connection")
    delay_ms: int = _option(0, "milliseconds to wait before each reply")
    max_size: int = _option(33554432, "largest mail in bytes (the SIZE that is announced)")
    utf8: bool = _option(True, "whether to offer SMTPUTF8")
    security: str = _option("none", "none, starttls (required of clients) or ssl (from the start)")
    certificate: str | None = _option(None, "PEM file of the certificate, for starttls and ssl")
    key: str | None = _option(None, "PEM file of its key, when that is not in the same file")
    username: str | None = _option(None, "clients must log in with this name ...")
    password: str | None = _option(None, "... and this password")

    def __post_init__(self) -> None:
        for name in ("refuse_pattern", "greylist_pattern"):
            _compiled(name, getattr(self, name))
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if isinstance(spec.default, int | float) and value < 0:
                raise ValueError(f"{spec.name}: {value} is negative")
        for name in ("refuse_reply", "greylist_reply"):
            if not re.fullmatch(r"[45]\d\d [ -~]+", getattr(self, name)):
                raise ValueError(f"{name}: write a code and a text, such as '550 5.1.1 no such user'")
        if self.security not in ("none", "starttls", "ssl"):
            raise ValueError(f"security: {self.security!r} is none of none, starttls, ssl")
        if self.security != "none" and self.certificate is None:
            raise ValueError(f"certificate: missing, security is {self.security}")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password: give both or neither")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From the object of a JSON document. Raises ValueError for a name that is not a field."""
        unknown = sorted(set(values) - {spec.name for spec in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such option")
        given: dict[str, Any] = {**values, "refuse": tuple(values.get("refuse", ()))}
        return cls(**given)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    def drop_every(self, drop: Drop) -> int:
        every: int = getattr(self, f"drop_{drop.value}")
        return every


def _compiled(name: str, pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{name}: {error}") from None


class Conduct:
    """A policy in the course of time: counts what happened and says what comes next.

    ``started`` is the time of the start, on the same clock as ``now``, in seconds.
    """

    UNAVAILABLE = "421 4.3.2 service not available, try again later"
    ENOUGH = "421 4.7.0 too many messages on this connection"

    def __init__(self, policy: SmtpPolicy, *, started: float) -> None:
        self.policy = policy
        self._started = started
        self._refused = frozenset(address.lower() for address in policy.refuse)
        self._refused_pattern = _compiled("refuse_pattern", policy.refuse_pattern)
        self._greylisted_pattern = _compiled("greylist_pattern", policy.greylist_pattern)
        self._recipients = 0
        self._attempts: Counter[str] = Counter()
        self._mails = 0
        self._accepted = 0
        self._turned_away = 0

    def _outage(self) -> bool:
        policy = self.policy
        return 0 < policy.outage_after <= self._accepted and self._turned_away < policy.outage_connections

    def connected(self) -> str | None:
        """The 421 that greets a new connection, or None."""
        if not self._outage():
            return None
        self._turned_away += 1
        return self.UNAVAILABLE

    def begins(self, mails_on_this_connection: int) -> str | None:
        """The 421 that answers MAIL, or None."""
        if self._outage():
            return self.UNAVAILABLE
        if 0 < self.policy.messages_per_connection <= mails_on_this_connection:
            return self.ENOUGH
        return None

    def refuses(self, address: str) -> str | None:
        """The reply that refuses ``address`` for good, or None."""
        refused = address.lower() in self._refused or _matches(self._refused_pattern, address)
        return self.policy.refuse_reply if refused else None

    def greylists(self, address: str, now: float) -> str | None:
        """The reply that turns ``address`` away for now, or None. Counts as an attempt."""
        policy, key = self.policy, address.lower()
        if self._greylisted_pattern is not None and not _matches(self._greylisted_pattern, address):
            return None
        self._recipients += 1
        self._attempts[key] += 1
        early = (
            self._attempts[key] <= policy.greylist
            or self._recipients <= policy.greylist_commands
            or 0 < policy.greylist_seconds > now - self._started
        )
        return policy.greylist_reply if early else None

    def data(self) -> Drop | None:
        """Where the mail that begins now is dropped, or None."""
        self._mails += 1
        for drop in Drop:
            every = self.policy.drop_every(drop)
            if every and self._mails % every == 0:
                return drop
        return None

    def accepted(self) -> None:
        """A mail was accepted."""
        self._accepted += 1


def _matches(pattern: re.Pattern[str] | None, address: str) -> bool:
    return pattern is not None and pattern.search(address) is not None
