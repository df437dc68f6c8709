"""Rows of a file as rows of a table: every value becomes what its column holds, or it is said why it cannot. ::

types = RowTypes({"id": "integer", "name": "text"}, required=["id"])
values, problems = types.read({"id": " 7", "name": ""})     # {"id": 7, "name": None}, []
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from .file_writers import is_formula
from .kinds import Kind

#: What a database keeps of a whole number.
_LARGEST = 2**63
#: Characters of a reason that are kept.
_LONGEST = 200
_DIGITS = re.compile(r"[+-]?\d*\.?\d*")


def _written(value: object) -> object:
    """What is no text as a person would write it: a sheet knows no whole numbers."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, date) else value


def _moment(value: object) -> object:
    """A date and time; one with a zone becomes UTC. A number is none: nobody can know since when it counts."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            value = None if text.isdecimal() else datetime.fromisoformat(text)
        except ValueError:
            value = None
    if not isinstance(value, date):
        raise ValueError("is no date and time; write 2026-02-28T10:30:00, with +00:00 behind it if the zone is known")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def _day(value: object) -> object:
    """A date; a number is none, however many digits it has: 20260228 could be so many seconds."""
    if isinstance(value, int | float) or (isinstance(value, str) and _DIGITS.fullmatch(value.strip())):
        raise ValueError("is no date; write 2026-02-28")
    return value


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL, which no database stores")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None
    return text


def _harmless(text: str) -> str:
    if is_formula(text):
        raise ValueError("begins like a formula, which a spreadsheet would run")
    return text


#: Columns of times, as pydantic is told of them.
TIMES: dict[Kind, Any] = {
    "date": Annotated[date, BeforeValidator(_day)],
    "datetime": Annotated[datetime, BeforeValidator(_moment)],
}
_TYPES: dict[Kind, Any] = {
    "integer": Annotated[int, Field(ge=-_LARGEST, lt=_LARGEST)],
    "number": Annotated[float, Field(allow_inf_nan=False)],
    "text": Annotated[str, BeforeValidator(_written), AfterValidator(_storable)],
    "boolean": bool,
    **TIMES,
}


class RowTypes:
    """What the columns of a row hold.

    Args:
      columns: by name, in order.
      required: those that must not be empty. An empty text counts as empty, whatever the column holds.
      formulas: let texts be that a spreadsheet would take for formulas.

    Attributes:
      names: those of the columns.
    """

    def __init__(self, columns: Mapping[str, Kind], *, required: Collection[str] = (), formulas: bool = False) -> None:
        self.names = list(columns)
        self._required = frozenset(required)
        fields: dict[str, Any] = {}
        # By number: a column may be called what pydantic keeps for itself.
        for number, kind in enumerate(columns.values()):
            annotation = _TYPES[kind]
            if kind == "text" and not formulas:
                annotation = Annotated[annotation, AfterValidator(_harmless)]
            fields[f"f{number}"] = (annotation | None, None)
        config = ConfigDict(coerce_numbers_to_str=True, extra="ignore")
        self._model: Any = create_model("Row", __config__=config, **fields)

    def read(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The row, and what is wrong with it (``column: why``); of a row with problems nothing is to be used."""
        given, problems = {}, []
        for number, name in enumerate(self.names):
            value = values.get(name)
            if value is None or (isinstance(value, str) and not value.strip()):
                if name in self._required:
                    problems.append(f"{name}: must not be empty")
            else:
                given[f"f{number}"] = value
        try:
            row = self._model.model_validate(given)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False, include_context=False):
                name = self.names[int(str(detail["loc"][0])[1:])]
                text = detail["msg"].removeprefix("Value error, ")
                problems.append(f"{name}: {text[0].lower()}{text[1:]}"[:_LONGEST])
            return {}, problems
        return {name: getattr(row, f"f{number}") for number, name in enumerate(self.names)}, problems
