"""How the mail server is reached, from ``SMTP_*`` in the environment."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from understudy.settings import Env, EnvSettings, Seconds

from .mail_address import Sender, check_sender

DEFAULT_PORTS = {"none": 25, "starttls": 587, "ssl": 465}


def _check_sender(value: str) -> str:
    check_sender(value)
    return value


def _check_ca_file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("is not a file")
    try:
        ssl.create_default_context(cafile=value)
    except OSError:
        raise ValueError("cannot be read as certificates") from None
    return value


class MailSettings(EnvSettings):
    """The mail server, the login and the sender.

    Credentials never travel unencrypted, except to this machine itself.
    """

    model_config = SettingsConfigDict(env_prefix="SMTP_")
    # A misspelt SMTP_SECURITY would send mail in the clear without a word.
    owned_prefix = "SMTP_"

    host: Annotated[
        str, Env(expects="a host name or an IP address"), Field(min_length=1, description="The mail server.")
    ] = "localhost"
    port: Annotated[
        int | None,
        Field(ge=1, le=65535, description="Its port. Not set: 25, with starttls 587, with ssl 465."),
    ] = None
    security: Annotated[
        Literal["none", "starttls", "ssl"],
        Field(description="none: in the clear; starttls: encrypted after a greeting; ssl: from the start."),
    ] = "none"
    username: Annotated[str | None, Field(description="Login name. Not set: no login.")] = None
    password: Annotated[SecretStr | None, Field(description="Password of SMTP_USERNAME.")] = None
    sender: Annotated[
        str,
        AfterValidator(_check_sender),
        Env("SMTP_FROM", expects="an address, or a name and an address: Ada Lovelace <ada@example.com>"),
        Field(description="Who the mail comes from."),
    ] = "Understudy <no-reply@localhost>"
    timeout: Annotated[
        Seconds, Field(ge=0.01, le=600, description="How long to wait for each answer of the server.")
    ] = 10.0
    ca_file: Annotated[
        Annotated[Path, AfterValidator(_check_ca_file)] | None,
        Env(expects="the path of a PEM file of certificates"),
        Field(description="Whom to trust instead of the system's authorities."),
    ] = None

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        problems = []
        if self.username is not None and self.password is None:
            problems.append("SMTP_USERNAME is set without SMTP_PASSWORD; set both or neither")
        if self.password is not None and self.username is None:
            problems.append("SMTP_PASSWORD is set without SMTP_USERNAME; set both or neither")
        if not f"{self.username or ''}{self._secret() or ''}".isascii():
            # smtplib encodes credentials as ASCII.
            problems.append("SMTP_USERNAME and SMTP_PASSWORD must be ASCII; ask for other credentials")
        if self.port == DEFAULT_PORTS["ssl"] and self.security != "ssl":
            problems.append(
                f"SMTP_PORT=465 is encrypted from the start, SMTP_SECURITY={self.security} is not; "
                "write SMTP_SECURITY=ssl, or SMTP_PORT=587 for starttls"
            )
        if self.username is not None and self.security == "none" and not is_loopback(self.host):
            problems.append(
                "SMTP_PASSWORD would travel unencrypted to another machine; "
                "write SMTP_SECURITY=starttls or SMTP_SECURITY=ssl"
            )
        if self.ca_file is not None and self.security == "none":
            problems.append("SMTP_CA_FILE has no use with SMTP_SECURITY=none; remove it or choose starttls or ssl")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _secret(self) -> str | None:
        return None if self.password is None else self.password.get_secret_value()

    @property
    def effective_port(self) -> int:
        """``port``, or what is usual for ``security``."""
        return DEFAULT_PORTS[self.security] if self.port is None else self.port

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Login name and password in the clear, or None when there is no login."""
        secret = self._secret()
        return None if self.username is None or secret is None else (self.username, secret)

    @property
    def from_sender(self) -> Sender:
        """``sender`` as a name and an address."""
        return check_sender(self.sender)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine itself. Names other than ``localhost`` are not looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
