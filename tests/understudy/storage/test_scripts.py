"""The scripts: their headers, and what all of them keep. What each replies is tested beside this file."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from understudy.storage import scripts
from understudy.storage.packing import UNPACK

FOLDER = resources.files("understudy.storage") / "lua"
LUA = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
NAMES = sorted(name for name in LUA if not name.startswith("_"))
#: What stands for a key that was passed: KEYS itself, its number in an operation, or a name given to one of these; and
#: the record of whoever set a lock, which was passed then and is read. A limit and a queue are made of such names.
PASSED = re.compile(
    r"limit\.(head|uses|line|due)\b|places\.(uses|line)\b|queue\[[45]\]|KEYS\[|key\(op, \d\)|outcome\.(stream|name),|"
    r"lock\.(record|flow),|(record|items|claim|name|revoked|\.\.\.|unpack\((name|records)\))[,)]"
)


def code(name: str) -> str:
    return re.sub(r"--.*", "", LUA[name])


def test_every_script_is_registered() -> None:
    assert [name.removesuffix(".lua") for name in NAMES] == sorted(scripts.NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_script_says_what_it_does_its_keys_its_arguments_and_its_reply(name: str) -> None:
    header = re.match(r"(?:--.*\n)+", LUA[name])
    assert header is not None
    assert re.match(rf"-- {name.removesuffix('.lua')}: \w", header[0])
    for part in ("-- KEYS: ", "-- ARGV: ", "-- Reply: ", "-- Safe to resend: "):
        assert part in header[0], part


@pytest.mark.parametrize("name", NAMES)
def test_every_key_and_argument_that_a_script_names_is_in_its_header(name: str) -> None:
    header, body = LUA[name].partition("\n\n")[0], code(name)
    for kind in ("KEYS", "ARGV"):
        said = re.search(rf"-- {kind}: ((?:.*\n--  )*.*)", header)
        assert said is not None
        declared = {int(number) for number in re.findall(r"(?:^|, |\s{2,})(\d)(?:\.\.)? ", said[1])}
        assert {int(number) for number in re.findall(rf"{kind}\[(\d)\]", body)} <= declared
        assert "-" in said[1][:2] or declared == set(range(1, len(declared) + 1))


@pytest.mark.parametrize("name", LUA)
def test_no_script_makes_up_the_name_of_a_key(name: str) -> None:
    for command, rest in re.findall(r"redis\.p?call\('(\w+)',(.*)", code(name)):
        if command in ("PUBLISH", "PUBSUB", "GET"):  # channels; the clock, by the name that `now` was given
            continue
        rest = re.sub(r"^ '(DELCONSUMER|CONSUMERS)',", "", rest).strip()
        assert PASSED.match(rest), f"{command} {rest}"


@pytest.mark.parametrize("name", LUA)
def test_no_script_looks_for_keys_or_asks_for_the_time_but_through_now(name: str) -> None:
    body = code(name)
    assert not re.search(r"'(KEYS|SCAN|RANDOMKEY|FLUSH\w+)'", body)
    assert ("'TIME'" in body) == (name == "_prelude.lua")


@pytest.mark.parametrize("name", scripts.NAMES)
def test_what_a_script_stands_on_comes_before_it(name: str) -> None:
    text = scripts.source(name)
    assert text.startswith(UNPACK) == (name in scripts.PACKED)
    assert text.removeprefix(UNPACK).startswith(f"-- {name}" if name in scripts.ALONE else "-- _prelude")
    assert text.endswith(LUA[f"{name}.lua"])
    assert ("LENGTH.step" in text) == (name in scripts.ADVANCING)
    assert ("local APPLY" in text) == (name in scripts.APPLYING) == ("parse(ARGV" in code(f"{name}.lua"))
