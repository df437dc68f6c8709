"""Server URLs as they stand in settings: checked strictly, shown without their passwords."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit


def mask_url(url: str) -> str:
    """``url`` fit to be shown: its password, also one in the query, is replaced by ``***``.

    Made for what people mistype, too: it covers too much rather than too little.
    """
    scheme = re.match(r"[A-Za-z][\w+.-]*://", url)
    if scheme is None:
        return "***" if "@" in url else url  # there is no telling where a password begins
    rest = url[scheme.end() :]
    # Up to the last "@": a password that should have been percent-encoded may hold "@", "/", "?" and "#".
    login, at, place = rest.rpartition("@")
    if at and not rest.startswith("/"):
        user, colon, _ = login.partition(":")
        rest = f"{user if colon else ''}{colon}***@{place}"
    rest = re.sub(r"([?&]\w*password=)[^&#]*", r"\1***", rest, flags=re.IGNORECASE)
    return scheme[0] + rest


def check_redis_url(value: str) -> str:
    """``value``, stripped. A ValueError says what is wrong with it, without repeating it."""
    value = value.strip()
    try:
        parts = urlsplit(value)
    except ValueError:  # its own words may quote the login
        raise ValueError("cannot be read as a URL") from None
    if parts.scheme not in {"redis", "rediss", "unix"} or "://" not in value:
        raise ValueError("does not start with redis://, rediss:// or unix://")
    if parts.fragment or "@" in parts.path or parts.netloc.count("@") > 1:
        raise ValueError("has '@', '/' or '#' in its password: percent-encode them ('@' is %40)")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.path == "/":
            raise ValueError("names no absolute socket path")
        database = dict(parse_qsl(parts.query)).get("db", "0")
    else:
        if not parts.hostname:
            raise ValueError("names no host")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has no usable port after its host (1 to 65535)") from None
        database = parts.path.strip("/") or "0"
    if not re.fullmatch(r"\d+", database, re.ASCII):
        raise ValueError("ends in a database that is not a number")
    return value
