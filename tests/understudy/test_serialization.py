"""What travels, what is refused, and that nothing is taken for what it is not."""

import math
import subprocess
import sys
from collections import OrderedDict, defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from freezegun import freeze_time
from hypothesis import example, given
from hypothesis import strategies as st

from tests.understudy import records_for_tests as records
from understudy import serialization
from understudy.errors import DecodeError, SerializationError
from understudy.serialization import MAX_DEPTH, KeptTuple, dumps, find_class, loads

OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**5000), 10**5000)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.times(timezones=OFFSETS)
    | st.datetimes()
    | st.datetimes(timezones=OFFSETS)
    | st.timedeltas()
)
#: Keys that look like what tagged values are made of.
NAMES = st.sampled_from(["$", "v", "t", "map", "record", ""]) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS | st.sampled_from(["$", "map", "record", "datetime", "bytes"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)


def copied(value: Any) -> Any:
    return loads(dumps(value))


@given(VALUES)
@example({"$": "map", "v": {"$": "record", "t": "os:PathLike", "v": {}}})
@example({"$": {"$": {"$": None}}})
@example([2**63, -(2**63), 2**64, -(2**63) - 1])
# fromisoformat reads an offset of less than a second as none.
@example([datetime(2000, 1, 1, tzinfo=timezone(timedelta(microseconds=n))) for n in (1, -1, 999_999, -999_999)])
@example([time(1, 2, 3, 4, tzinfo=timezone(timedelta(microseconds=n))) for n in (1, -1, 999_999, -999_999)])
def test_what_travels_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    copy = copied(value)
    assert copy == value
    assert shape(copy) == shape(value)


def shape(value: Any) -> Any:
    if isinstance(value, datetime | time):
        return type(value), value.utcoffset()  # two moments are equal though their offsets differ
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return type(value)


@given(st.binary(max_size=200) | VALUES.map(dumps).flatmap(lambda data: st.binary(max_size=3).map(lambda b: data + b)))
def test_bytes_from_elsewhere_are_decoded_or_a_decode_error(data: bytes) -> None:
    decoded_or_refused(data)


#: JSON that is built like tagged values, with the wrong things in the right places.
FORGED = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats() | st.sampled_from(["", "x", "1", "-", "9" * 5000]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {
                "$": st.sampled_from([*serialization._DECODERS, "map", "record", "new"]) | inner,
            },
            optional={
                "v": inner,
                "t": st.sampled_from(["", ":", "x:y", "..a:b", "os:path", "builtins:dict", "this:x", "datetime:date"])
                | inner,
            },
        )
    ),
    max_leaves=8,
)


@given(FORGED)
def test_forged_tags_are_decoded_or_a_decode_error(wire: Any) -> None:
    decoded_or_refused(msgspec.json.encode(wire))


def decoded_or_refused(data: bytes) -> None:
    with suppress(DecodeError):
        loads(data)


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900])
def test_a_depth_bomb_does_not_break_the_reader(bomb: bytes) -> None:
    decoded_or_refused(bomb)


def test_a_tag_of_a_newer_version_is_said_to_be_one() -> None:
    with pytest.raises(DecodeError, match="newer version"):
        loads(b'{"$":"colour","v":1}')


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0])
def test_numbers_that_json_does_not_know_survive(value: float) -> None:
    assert repr(copied(value)) == repr(value)


def test_the_shapes_of_json_are_celerys() -> None:
    assert copied((1, (2,))) == [1, [2]]
    assert copied({1: "a", records.Number(2): "b"}) == {"1": "a", "2": "b"}
    assert copied(OrderedDict(a=1)) == copied(defaultdict(int, a=1)) == {"a": 1}
    assert copied(records.Pair(1, 2)) == [1, 2]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (records.Size.LARGE, "large"),
        (records.Level.HIGH, 3),
        (records.Text("a"), "a"),
        (records.Number(7), 7),
        (records.Number(2**70), 2**70),
        (bytearray(b"a"), b"a"),
    ],
)
def test_a_subclass_arrives_as_what_it_is_a_subclass_of(value: Any, plain: Any) -> None:
    copy = copied(value)
    assert copy == plain
    assert type(copy) is type(plain)


def test_a_moment_keeps_its_offset_though_not_the_name_of_its_zone() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert copied(moment) == moment
    assert copied(moment).utcoffset() == timedelta(hours=2)


def test_a_time_of_day_that_would_lose_its_zone_is_refused() -> None:
    with pytest.raises(SerializationError, match="offset depends on the date"):
        dumps(time(12, tzinfo=ZoneInfo("Europe/Berlin")))


def test_frozen_time_travels_like_any_other() -> None:
    with freeze_time("2026-03-01T12:00:00"):
        assert copied([datetime.now(UTC), date.today()]) == [datetime.now(UTC), date.today()]


def test_a_tuple_survives_only_where_it_is_asked_to() -> None:
    assert copied({"a": KeptTuple([1, KeptTuple()])}) == {"a": (1, ())}


# -- refusals --------------------------------------------------------------------------------------------------


NOTHING: Any = object()


def refusal(value: Any, root: str = "value") -> SerializationError:
    with pytest.raises(SerializationError) as caught:
        dumps(value, root=root)
    return caught.value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "args"),
        ([1, {"who": [0, set()]}], "args[1]['who'][1]"),
        ({"$": {"a": object()}}, "args['$']['a']"),
        ({5: object()}, "args['5']"),
        ([records.Person("Ada", friends=[records.Person("Bob", address=NOTHING)])], "args[0]['friends'][0]['address']"),
        ((1, (2, records.Plain())), "args[1][1]"),
        ({"a": {1: 1, "1": 1}}, "args['a']"),
        ([{(1, 2): 3}], "args[0]"),
        ({"a": "\ud800"}, "args['a']"),
        (records.Point(1, label=object()), "args['label']"),
    ],
)
def test_a_refusal_says_where_the_value_stands(value: Any, path: str) -> None:
    assert refusal(value, "args").path == path


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1, 2}, "is a set, which cannot travel; send a sorted list"),
        (records.Colour.RED, "records_for_tests.Colour, which cannot travel; send its .value"),
        (iter([]), "is a list_iterator"),
        (len, "is a builtin_function_or_method"),
        (records.Address, "is a type"),
        (1j, "is a complex"),
        ({True: 1}, "has a key of type bool"),
        ({None: 1}, "has a key of type NoneType"),
        ({1.5: 1}, "has a key of type float"),
        ({"a\udfff": 1}, "lone surrogate"),
        ({10**5000: 1}, "thousands of digits"),
        (records.WithoutConstructor(), "cannot be rebuilt from its fields (name)"),
        (records.WithInitVar("a", "b"), "cannot be rebuilt from its fields (salt)"),
        (records.WithOwnConstructor("a"), "cannot be rebuilt from its fields"),
        (records.Renamed(1), "a reader cannot import"),
        (records.Carton[int](content=1), "a reader cannot import"),
        (object.__new__(records.Address), "without a value for 'street'"),
    ],
)
def test_a_refusal_says_why_and_what_to_send_instead(value: Any, reason: str) -> None:
    assert reason in refusal(value).reason


def test_a_class_inside_a_function_is_refused() -> None:
    class Local(msgspec.Struct):
        pass

    assert "define it at the top of a module" in refusal(Local()).reason


def test_a_class_of_the_main_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.Plain, "__module__", "__main__")
    assert find_class("__main__:Plain") is None


def test_a_value_that_contains_itself_is_refused_with_a_short_path() -> None:
    loop: list[Any] = []
    loop.append({"again": loop})
    error = refusal(loop)
    assert "contains itself" in error.reason
    assert error.path == "value[0]['again'][0]['again'][0]['again'][0]['again']"


def test_the_deepest_value_travels_and_one_level_more_does_not() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert copied(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    refusal(nested(MAX_DEPTH + 1))
    person = records.Person("a")
    for _ in range(MAX_DEPTH // 2 - 1):
        person = records.Person("a", friends=[person])
    assert copied(person) == person


# -- records ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        records.Address("Main Street", 5),
        records.Person("Ada", records.Address("x"), [records.Person("Bob")]),
        records.Box(records.Box([Decimal("1.5"), b"x"])),
        records.Point(1, label={"$": records.Address("y")}),
        records.Account(userId=1, born=datetime(2000, 1, 1, tzinfo=UTC), home=records.Address("z")),
        records.Account(userId=1, parent=records.Account(userId=2)),
        records.Open(name="a", **{"$": "b", "x": 1}),
        records.Strict(names=["a"]),
        records.Names(["a", "b"]),
        [records.Person("a"), UUID(int=1)],
    ],
)
def test_records_come_back_as_what_they_were(value: Any) -> None:
    assert copied(value) == value
    assert copied([{"a": value}]) == [{"a": value}]


def test_a_record_whose_class_is_gone_arrives_as_its_values() -> None:
    data = dumps(records.Address("a", 2)).replace(b":Address", b":Moved")
    assert loads(data) == {"street": "a", "number": 2}


def test_a_record_whose_class_has_changed_arrives_as_its_values() -> None:
    assert loads(dumps(records.Address("a")).replace(b"street", b"road")) == {"road": "a", "number": 1}
    assert loads(dumps(records.Strict(names=["a"])).replace(b'["a"]', b"5")) == {"names": 5}


def test_a_record_whose_constructor_raises_arrives_as_its_values() -> None:
    assert loads(dumps(records.Picky(5)).replace(b"5", b"-5")) == {"age": -5}


@pytest.mark.parametrize("name", ["builtins:dict", "subprocess:Popen", "builtins:exec", "os:system", "datetime:date"])
def test_only_classes_of_records_are_called(name: str) -> None:
    forged = msgspec.json.encode({"$": "record", "t": name, "v": {"args": "true"}})
    assert loads(forged) == {"args": "true"}


# -- finding classes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", ":", "a", "os", "os:", ".os:path", "os:nothing", "os:path", "os:sep", "nothing.at.all:X", "this:Zen"]
)
def test_what_is_no_class_is_not_found(name: str) -> None:
    assert find_class(name) is None


def test_a_class_inside_a_class_is_found() -> None:
    assert find_class("msgspec:Struct") is msgspec.Struct
    assert find_class("json.decoder:JSONDecodeError") is not None


def test_data_makes_nobody_import_a_package_that_the_program_does_not_use() -> None:
    script = (
        "import sys\n"
        "from understudy.serialization import find_class, loads\n"
        "assert 'antigravity' not in sys.modules and 'xmlrpc' not in sys.modules\n"
        "assert find_class('antigravity:x') is find_class('xmlrpc.client:Fault') is None\n"
        "assert find_class('json.__main__:X') is find_class('json.tool.__main__:X') is None\n"
        'assert loads(b\'{"$":"record","t":"xmlrpc.client:Fault","v":{"a":1}}\') == {"a": 1}\n'
        "assert not {'antigravity', 'xmlrpc', 'json.__main__'} & set(sys.modules)\n"
        "assert find_class('json.tool:X') is None and 'json.tool' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
