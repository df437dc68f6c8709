"""The one speller of keys."""

from fnmatch import fnmatch

from understudy.storage.keys import Keys

KEYS = Keys("shop")
ALL = [
    KEYS.clock,
    KEYS.actors,
    KEYS.state("a"),
    KEYS.items("a"),
    KEYS.claimed_items("a"),
    KEYS.claim("a"),
    KEYS.channel("a"),
]


def test_every_key_lies_under_the_namespace() -> None:
    assert all(name.startswith("shop:") and fnmatch(name, KEYS.pattern()) for name in ALL)


def test_no_two_keys_are_the_same() -> None:
    assert len(set(ALL)) == len(ALL)
    assert not set(ALL) & {name.replace("shop:", "shop2:", 1) for name in ALL}


def test_the_items_of_an_idempotency_key_have_the_scope_of_that_key() -> None:
    assert KEYS.claimed_items("send:7") == KEYS.items("key:send:7")
