"""Where a URL that somebody else has given may lead: the guard against server-side request forgery.

A name is looked up once, every address that it has must be allowed, and the connection goes to the address that was
checked: a name that means something else a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "https": 443}
LONGEST_URL = 2_000
#: Addresses of IPv6 in which one of IPv4 is wrapped, which a router on the way unwraps (RFC 6052).
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class DestinationRefused(ValueError):
    """The URL leads where it may not. The text says why and what to do; it does not repeat the URL."""


@dataclass(frozen=True)
class Destination:
    """A URL that was checked. ``address`` is where to connect to; ``host`` is who must answer there."""

    scheme: str
    host: str
    port: int
    address: str
    target: str

    @property
    def host_header(self) -> str:
        """What goes into the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def check_destination(url: str, *, allowed: Iterable[Network] = ()) -> Destination:
    """Look ``url`` up.

    Args:
      allowed: networks that may be reached although they are not public; only there ``http`` will do.

    Raises:
      DestinationRefused: it is no URL for this, or one of its addresses is not allowed.
      OSError: the name cannot be looked up now.
    """
    scheme, host, port, target = _parts(url)
    networks = tuple(allowed)
    addresses = list(_addresses(host, port))
    for address in addresses:
        inside = any(address in network for network in networks)
        if not inside and not _is_public(address):
            raise DestinationRefused(
                "the URL leads to an address that is not public; if it is meant to be reached, name its network in "
                "WEBHOOK_ALLOWED_NETWORKS"
            )
        if not inside and scheme == "http":
            raise DestinationRefused("the URL is not encrypted; write https://")
    return Destination(scheme, host, port, str(addresses[0]), target)


def _parts(url: str) -> tuple[str, str, int, str]:
    if not isinstance(url, str) or len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise DestinationRefused(
            f"the URL is a text of at most {LONGEST_URL} printable ASCII characters; encode whatever else is in it"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DestinationRefused(f"the URL cannot be read: {error}") from None
    if parts.scheme not in PORTS:
        raise DestinationRefused("the URL begins with https://")
    if parts.username is not None or parts.password is not None:
        raise DestinationRefused("the URL carries a login, which would be stored with every message; leave it out")
    if not parts.hostname:
        raise DestinationRefused("the URL names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port, target


def _addresses(host: str, port: int) -> Iterable[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise DestinationRefused("the URL names a host that no name server could know") from None
    for *_, sockaddr in found:
        # Behind a "%" stands the interface of a link-local address.
        yield ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is not None:
            return _is_public(wrapped)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
