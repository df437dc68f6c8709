"""Server URLs: no password is ever shown, and every unusable URL is refused in words."""

from __future__ import annotations

import pytest

from understudy.urls import check_redis_url, mask_url

SECRETS = [
    "redis://user:hunter2@host:6379/0",
    "redis://:hunter2@host",
    "rediss://:hunter2@host:6379/0?ssl_cert_reqs=none",
    "redis://:hun/hunter2#x@host",
    "redis://user:p@hunter2@host",
    "redis://us/er:hunter2@host",
    "redis://hunter2@host",
    "redis://host/0?password=hunter2",
    "rediss://host/0?a=b&ssl_password=hunter2",
    "unix://user:hunter2@/run/redis.sock",
    "unix:///run/redis.sock?password=hunter2",
    ":hunter2@host:6379",
    "redis:/:hunter2@host",
    "http://u:hunter2@host",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_never_shown(url: str) -> None:
    assert "hunter2" not in mask_url(url)


@pytest.mark.parametrize("url", SECRETS)
def test_a_refusal_does_not_quote_the_url(url: str) -> None:
    said = ""
    try:
        check_redis_url(url)
    except ValueError as error:
        said = str(error)
    assert "hunter2" not in said


@pytest.mark.parametrize("url", ["redis://host:6379/0", "unix:///run/a@b/redis.sock?db=1", "stub://", "no url at all"])
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert mask_url(url) == url


def test_the_user_and_the_host_stay_readable() -> None:
    assert mask_url("redis://ada:hunter2@db.example:6379/3") == "redis://ada:***@db.example:6379/3"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:p%40ss@h:6379/0",
        "rediss://ada:pw@[::1]:6380/15?ssl_cert_reqs=none",
        "unix:///run/redis.sock",
        "unix://:pw@/run/redis.sock?db=2",
    ],
)
def test_usable_urls_are_accepted(url: str) -> None:
    assert check_redis_url(f" {url} ") == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:6379", "does not start with"),
        ("http://localhost", "does not start with"),
        ("redis:localhost", "does not start with"),
        ("redis://", "no host"),
        ("redis://:6379", "no host"),
        ("redis://host:port/0", "port"),
        ("redis://host:70000", "port"),
        ("redis://host/zero", "database"),
        ("unix://redis.sock", "socket path"),
        ("unix:///", "socket path"),
        ("unix:///run/redis.sock?db=x", "database"),
        ("redis://:p@ss@host", "percent-encode"),
        ("redis://:p/ss@host", "percent-encode"),
        ("redis://[::1", "cannot be read"),
    ],
)
def test_unusable_urls_are_refused_with_the_reason(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_redis_url(url)
