"""The only excuses there are. Each belongs to one row and is checked against the subject's own declaration."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import dramatiq
from dramatiq.composition import group, pipeline

from understudy import each

from .subjects import Subject


@dataclass(frozen=True)
class Excuse:
    """Why a row does not apply to a subject.

    Attributes:
      objection: takes the subject; says why the excuse does not hold for it, or returns None.
    """

    row: str
    reason: str
    objection: Callable[[Subject], str | None]


#: A declared duration below this many seconds needs no progress.
SHORT = 1.0


def _takes_several(subject: Subject) -> str | None:
    if subject.kind == "workflow":
        return "a workflow is made of several messages"
    try:
        return _collection_among(inspect.signature(subject.function), typing.get_type_hints(subject.function))
    except (NameError, TypeError, AttributeError) as error:
        return f"its annotations cannot be read ({error})"


def _collection_among(signature: inspect.Signature, hints: dict[str, Any]) -> str | None:
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return f"it takes {str(parameter).partition(':')[0]}, which is a collection"
        if name not in hints:
            return f"its parameter {name!r} has no annotation"
        several = next((kind for kind in _plain_types(hints[name]) if _is_several(kind)), None)
        if several is not None:
            return f"its parameter {name!r} can hold several things ({getattr(several, '__name__', several)})"
    return None


def _plain_types(hint: Any, seen: frozenset[Any] = frozenset()) -> Iterator[Any]:
    """What a value of this annotation can be, at any depth: the members of unions, the fields of dataclasses."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return
    if isinstance(hint, typing.NewType):
        yield from _plain_types(hint.__supertype__, seen)
    elif origin is typing.Annotated:
        yield from _plain_types(typing.get_args(hint)[0], seen)
    elif isinstance(origin, type) and not _is_union(origin):
        yield origin
    elif origin is not None:
        for member in typing.get_args(hint):
            yield from _plain_types(member, seen)
    else:
        yield hint
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in seen:
            for field in typing.get_type_hints(hint).values():
                yield from _plain_types(field, seen | {hint})


def _is_union(origin: type) -> bool:
    return origin.__name__ in {"Union", "UnionType"}


def _is_several(kind: Any) -> bool:
    """Collections, canvases, and what could be anything."""
    if kind is None:
        return False
    if not isinstance(kind, type) or kind is object or kind is Any:
        return True
    if issubclass(kind, dramatiq.Message | pipeline | group):
        return True
    return issubclass(kind, Iterable) and not issubclass(kind, str | bytes | bytearray)


def _works_for_long(subject: Subject) -> str | None:
    function = inspect.unwrap(subject.function)
    try:
        looping = next((name for name, tree in _sources(function) if _uses_each(tree, function)), None)
    except (OSError, TypeError, AttributeError) as error:
        return f"its source cannot be read ({error})"
    if looping is not None:
        where = "it" if looping == function.__name__ else f"its helper {looping}"
        return f"{where} loops over items with each()"
    expected = subject.declared.expected_duration
    if expected is None:
        return f"it does not declare expected_duration below {SHORT:g} s"
    return None if expected < SHORT else f"it declares expected_duration={expected:g} s, not below {SHORT:g} s"


def _sources(function: Any) -> Iterator[tuple[str, ast.AST]]:
    """The function, and the functions and classes of its module that it names, with what those name."""
    waiting, seen = [function], set()
    while waiting:
        source = waiting.pop()
        seen.add(source)
        tree = ast.parse(textwrap.dedent(inspect.getsource(source)))
        yield source.__name__, tree
        for node in ast.walk(tree):
            named = function.__globals__.get(node.id) if isinstance(node, ast.Name) else None
            if isinstance(named, FunctionType | type) and named.__module__ == function.__module__:
                waiting += [] if named in seen else [named]


def _uses_each(tree: ast.AST, function: Any) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "each")
        or (isinstance(node, ast.Name) and (node.id == "each" or function.__globals__.get(node.id) is each))
        for node in ast.walk(tree)
    )


def _has_effects(subject: Subject) -> str | None:
    return None if subject.declared.pure else "it does not declare pure=True"


NO_COLLECTION = Excuse("partial_failure", "takes no collection and no canvas", _takes_several)
SHORT_WORK = Excuse("progress", "no item loop, declared shorter than 1 s", _works_for_long)
PURE = Excuse("idempotency", "declared pure", _has_effects)
