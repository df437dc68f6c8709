"""An excuse is granted by the declaration, never by whoever writes the entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

import dramatiq
import pytest
from dramatiq.composition import group, pipeline

import understudy
from tasks.email_tasks import send_bulk_emails, send_email
from understudy import each
from understudy import each as every

from .excuses import NO_COLLECTION, PURE, SHORT_WORK
from .planted import planted
from .subjects import of_actor


@dataclass
class Point:
    x: int
    name: str | None


@dataclass
class Basket:
    owner: str
    things: list[str]


@dataclass
class Nested:
    basket: Basket | None


class Record(TypedDict):
    email: str


UserId = NewType("UserId", int)
Names = NewType("Names", list[str])


def objection_to(annotation: Any) -> str | None:
    def takes(value: Any) -> None: ...

    takes.__annotations__["value"] = annotation
    return NO_COLLECTION.objection(planted(takes))


ONE_THING: list[Any] = [str, bytes, int, float, bool, Decimal, str | None, Optional[int], UserId, Point, None]  # noqa: UP045
SEVERAL: list[Any] = [list, list[str], tuple[int, ...], set[str], frozenset[int], dict, dict[str, Any], Record]


@pytest.mark.parametrize("kind", [*ONE_THING, Literal["a", "b"], Annotated[str, "a name"]])
def test_one_thing_is_no_collection(kind: Any) -> None:
    assert objection_to(kind) is None


@pytest.mark.parametrize("kind", [*SEVERAL, Sequence[str], Iterable[int], Mapping[str, int], Names, Basket])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_collection_is_one_however_it_is_written(kind: Any, wrapped: bool) -> None:
    annotation = Annotated[str | kind | None, "many"] if wrapped else kind
    assert "'value' can hold several things" in (objection_to(annotation) or "")


def test_a_collection_is_found_in_the_fields_of_a_dataclass_too() -> None:
    assert "can hold several things (list)" in (objection_to(Nested) or "")


@pytest.mark.parametrize("kind", [dramatiq.Message, dramatiq.Message[Any], pipeline, group])
def test_a_canvas_is_several_messages(kind: Any) -> None:
    assert "can hold several things" in (objection_to(kind) or "")


@pytest.mark.parametrize("kind", [Any, object])
def test_what_can_be_anything_can_be_a_collection(kind: Any) -> None:
    assert "can hold several things" in (objection_to(kind) or "")


def test_a_parameter_without_annotation_is_not_excused() -> None:
    def takes(value):  # type: ignore[no-untyped-def]
        ...

    assert NO_COLLECTION.objection(planted(takes)) == "its parameter 'value' has no annotation"


def test_an_annotation_that_cannot_be_read_is_not_excused() -> None:
    assert "cannot be read" in (objection_to("NoSuchType") or "")


def test_star_arguments_are_collections() -> None:
    def positional(*values: int) -> None: ...
    def named(**values: int) -> None: ...

    assert NO_COLLECTION.objection(planted(positional)) == "it takes *values, which is a collection"
    assert NO_COLLECTION.objection(planted(named)) == "it takes **values, which is a collection"


def test_a_workflow_is_several_messages_whatever_it_takes() -> None:
    def flow(source: str) -> None: ...

    assert NO_COLLECTION.objection(planted(flow)) is None
    assert NO_COLLECTION.objection(planted(flow, kind="workflow")) == "a workflow is made of several messages"


def plain(n: int) -> None: ...


def loops(n: int) -> None:
    for _ in each(range(n), key=str):
        pass


def loops_under_another_name(n: int) -> None:
    for _ in every(range(n), key=str):
        pass


def loops_by_the_package(n: int) -> None:
    for _ in understudy.each(range(n), key=str):
        pass


def loops_in_a_helper(n: int) -> None:
    loops(n)


class _Helper:
    def run(self, n: int) -> None:
        loops(n)


def loops_in_a_class(n: int) -> None:
    _Helper().run(n)


def test_short_work_without_a_loop_needs_no_progress() -> None:
    assert SHORT_WORK.objection(planted(plain, expected_duration=0.99)) is None


def test_work_of_a_second_or_of_unknown_length_does() -> None:
    assert "expected_duration=1 s" in (SHORT_WORK.objection(planted(plain, expected_duration=1.0)) or "")
    assert "does not declare" in (SHORT_WORK.objection(planted(plain)) or "")


@pytest.mark.parametrize(
    "function",
    [loops, loops_under_another_name, loops_by_the_package, loops_in_a_helper, loops_in_a_class],
)
def test_a_loop_over_items_does_however_it_is_reached(function: Callable[..., Any]) -> None:
    assert "loops over items" in (SHORT_WORK.objection(planted(function, expected_duration=0.1)) or "")


def test_a_body_without_source_is_not_excused() -> None:
    made: dict[str, Any] = {}
    exec("def made_up(n: int) -> None: ...", made)
    assert "cannot be read" in (SHORT_WORK.objection(planted(made["made_up"], expected_duration=0.1)) or "")


def test_only_a_declared_pure_actor_needs_no_idempotency() -> None:
    assert PURE.objection(planted(plain, pure=True)) is None
    assert PURE.objection(planted(plain)) == "it does not declare pure=True"


def test_a_campaign_is_excused_from_nothing_and_a_single_mail_only_from_what_is_about_many() -> None:
    campaign, mail = of_actor(send_bulk_emails), of_actor(send_email)
    assert None not in [excuse.objection(campaign) for excuse in (NO_COLLECTION, SHORT_WORK, PURE)]
    assert [excuse.objection(mail) is None for excuse in (NO_COLLECTION, SHORT_WORK, PURE)] == [True, True, False]
