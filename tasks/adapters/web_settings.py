"""How webhooks are sent, from ``WEBHOOK_*`` in the environment."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from understudy.settings import Bytes, CommaSeparated, Env, EnvSettings, Seconds

#: A key that is shorter can be guessed.
SHORTEST_SECRET = 24


def _check_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(f"holds {text!r}, which is no network; write for example 10.0.0.0/8") from None
    return value


def _check_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError(f"is shorter than {SHORTEST_SECRET} characters, so signatures could be forged")
    return value


def _check_ca_file(value: Path) -> Path:
    try:
        ssl.create_default_context(cafile=value)
    except OSError:
        raise ValueError("cannot be read as certificates") from None
    return value


class WebhookSettings(EnvSettings):
    """Who may be reached, and with what.

    Addresses inside of a company or of this machine are refused unless they are named: the URL of a webhook comes
    from somebody else, who would reach by it what only this machine may reach.
    """

    model_config = SettingsConfigDict(env_prefix="WEBHOOK_")
    owned_prefix = "WEBHOOK_"

    secret: Annotated[
        Annotated[SecretStr, AfterValidator(_check_secret)] | None,
        Field(description="Signs every webhook (HMAC-SHA256). Not set: webhooks are refused."),
    ] = None
    allowed_networks: Annotated[
        Annotated[CommaSeparated, AfterValidator(_check_networks)],
        Env(expects="networks separated by commas: 10.0.0.0/8,192.168.7.0/24"),
        Field(description="Networks beside the public internet that may be reached, also over http."),
    ] = ()
    timeout: Annotated[
        Seconds, Field(ge=0.01, le=300, description="How long one attempt may take, whatever is said meanwhile.")
    ] = 10.0
    max_size: Annotated[Bytes, Field(ge=1, description="The largest body that is sent.")] = 256 * 1024
    ca_file: Annotated[
        Annotated[Path, AfterValidator(_check_ca_file)] | None,
        Env(expects="the path of a PEM file of certificates"),
        Field(description="Whom to trust instead of the system's authorities."),
    ] = None

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """``allowed_networks``, parsed."""
        return tuple(ipaddress.ip_network(text) for text in self.allowed_networks)

    @property
    def key(self) -> bytes | None:
        """The secret as bytes, or None when there is none."""
        return None if self.secret is None else self.secret.get_secret_value().encode()
