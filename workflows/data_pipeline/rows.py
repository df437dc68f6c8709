"""What a row must be: a model of pydantic, written by a developer or made from the kinds of columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from tasks.adapters.file_writers import as_text
from tasks.adapters.files import Kind
from tasks.adapters.kinds import PYTHON, kind_of
from tasks.adapters.row_types import TIMES

from .job import kind_and_need

#: A column is of a kind when so many of its values are: what is left over is dirt, which validation finds.
MOSTLY = 0.9

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"\W+")

M = TypeVar("M", bound=type[BaseModel])
_MODELS: dict[str, type[BaseModel]] = {}


def row_model(name: str) -> Callable[[M], M]:
    """Register a model of rows under a name by which a run asks for it. Its fields are the columns. ::

    @row_model("flights")
    class Flight(BaseModel):
        flight: int = Field(ge=1)
        dep_time: int | None

    Raises:
      ValueError: there is one of this name.
    """

    def register(model: M) -> M:
        if name in _MODELS:
            raise ValueError(f"there are two models of rows called {name!r}")
        _MODELS[name] = model
        return model

    return register


def model_named(name: str) -> type[BaseModel]:
    """The model that was registered under ``name``.

    Raises:
      ValueError: there is none.
    """
    if name not in _MODELS:
        raise ValueError(f"there is no model of rows called {name!r}; there are {', '.join(sorted(_MODELS)) or 'none'}")
    return _MODELS[name]


def columns_of(model: type[BaseModel]) -> dict[str, str]:
    """The columns of a model, with their kinds."""
    return {name: _told(field.annotation) for name, field in model.model_fields.items()}


def _told(annotation: Any) -> str:
    options = [kind for kind in PYTHON if PYTHON[kind] in (annotation, *getattr(annotation, "__args__", ()))]
    optional = type(None) in getattr(annotation, "__args__", ())
    return (options[0] if options else "text") + ("" if optional else "!")


class Rows:
    """Checks rows against columns, or against a model that a developer registered."""

    def __init__(self, columns: Mapping[str, str], *, model: str | None = None, missing: Sequence[str] = ("",)) -> None:
        self.names = list(columns)
        self._missing = frozenset(missing)
        self._own = model is None
        self._model = _made_of(columns) if model is None else model_named(model)
        self._text = {name for name, told in columns.items() if kind_and_need(told)[0] == "text"}

    def check(self, values: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
        """The row with its types; or None, and what is wrong: pairs of a field and a reason."""
        given = {name: self._plain(name, values.get(name)) for name in self.names}
        try:
            checked = self._model.model_validate(given)
        except ValidationError as error:
            return None, [
                (str(detail["loc"][0]) if detail["loc"] else "", _reason(detail["type"], detail["msg"]))
                for detail in error.errors(include_url=False, include_input=False, include_context=False)
            ]
        return {name: getattr(checked, name) for name in self.names} if not self._own else dict(
            zip(self.names, checked.__dict__.values(), strict=True)
        ), []

    def _plain(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            if name not in self._text or value is None:
                return value
            return as_text(value) if isinstance(value, dict | list) else str(value)
        stripped = value.strip()
        return None if stripped in self._missing else value if name in self._text else stripped


def _made_of(columns: Mapping[str, str]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for place, (name, told) in enumerate(columns.items()):
        kind, required = kind_and_need(told)
        # By place, because a column may be called as nothing in Python may.
        annotation = TIMES.get(kind, PYTHON[kind])
        fields[f"f{place}"] = (annotation if required else annotation | None, Field(alias=name))
    return create_model("Row", __config__=ConfigDict(extra="ignore"), **fields)


def _reason(kind: str, told: str) -> str:
    # A required field that is empty: pydantic would say that None is no text.
    missing = kind.endswith("_type") and "None" not in told and "Input should be a valid" in told
    return "is missing" if missing else told.removeprefix("Value error, ")


# -- finding out ---------------------------------------------------------------------------------------------


def usable_names(names: Sequence[str]) -> dict[str, str]:
    """Names as tables take them, by the name in the file: ``"Dep. Time"`` is ``dep_time``.

    Raises:
      ValueError: two would be the same.
    """
    found = {name: _usable(name) for name in names}
    if twice := [name for name, times in Counter(found.values()).items() if times > 1]:
        alike = ", ".join(repr(name) for name, usable in found.items() if usable == twice[0])
        raise ValueError(f"the columns {alike} would both be {twice[0]!r} in a table; rename one in the file")
    return found


def _usable(name: str) -> str:
    plain = _NAME.sub("_", name).strip("_").lower().encode("ascii", "ignore").decode() or "column"
    return (plain if not plain[0].isdigit() else f"c_{plain}")[:63]


class Guess:
    """The kinds of columns, from some of the rows, of which it keeps none. No column is required, and what is mostly of
    a kind is of that kind."""

    def __init__(self, names: Sequence[str], missing: Sequence[str]) -> None:
        self._seen: dict[str, Counter[Kind]] = {name: Counter() for name in names}
        self._missing = frozenset(missing)

    def look(self, row: Mapping[str, Any]) -> None:
        """Look at one row."""
        for name, seen in self._seen.items():
            value = row.get(name)
            if value is not None and not (isinstance(value, str) and value.strip() in self._missing):
                seen[kind_of(value) if not isinstance(value, str) else _kind_of_text(value.strip())] += 1

    def kinds(self) -> dict[str, str]:
        """The kind of each column."""
        return {name: _mostly(seen) for name, seen in self._seen.items()}


def _mostly(kinds: Counter[Kind]) -> str:
    enough = kinds.total() * MOSTLY
    # An integer is a number, and a date can be a time.
    numbers, times = kinds["integer"] + kinds["number"], kinds["date"] + kinds["datetime"]
    for kind, count in (("integer", kinds["integer"]), ("number", numbers), ("boolean", kinds["boolean"])):
        if count and count >= enough:
            return kind if kind != "integer" or not kinds["number"] else "number"
    for kind, count in (("date", kinds["date"]), ("datetime", times)):
        if count and count >= enough:
            return kind if kind != "date" or not kinds["datetime"] else "datetime"
    return "text"


def _kind_of_text(text: str) -> Kind:
    if _INTEGER.fullmatch(text):
        # A number that begins with 0 is a code, a ZIP say, and would lose its zero.
        return "text" if len(text) > 1 and text.lstrip("+-").startswith("0") and text.strip("+-0") else "integer"
    if _NUMBER.fullmatch(text):
        return "number"
    if text.lower() in ("true", "false"):
        return "boolean"
    return next(iter(_times(text)), "text")


def _times(text: str) -> Iterator[Kind]:
    for kind, parse in (("date", date.fromisoformat), ("datetime", datetime.fromisoformat)):
        try:
            parse(text)
        except ValueError:
            continue
        yield kind  # type: ignore[misc]
