"""How settings classes are read from the environment, and how their mistakes are told.

A setting's environment name is the class's ``env_prefix`` and the field's name in capitals, or what ``Env``
says. Names are exact, a name that is set to nothing counts as not set, and ``.env`` files are not read.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeVar, overload

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .errors import SettingsError
from .sizes import parsed
from .urls import check_redis_url, mask_url


@dataclass(frozen=True)
class Env:
    """Marks a field: ``name`` is its environment name when it is not prefix + field, ``expects`` says in
    words what to write."""

    name: str | None = None
    expects: str | None = None


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _to_seconds(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d)?", value.strip())
    if match is None:
        raise ValueError("is not a duration")
    # Rounded, because 300 * 0.001 is not 0.3.
    return round(float(match[1]) * _SECONDS[match[2] or "s"], 6)


def _to_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    size = parsed(value)
    if size is None:
        raise ValueError("is not a size")
    return size


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)


Seconds = Annotated[float, BeforeValidator(_to_seconds), Env(expects="seconds (also 500ms, 5m, 1h, 2d)")]
"""A duration; in Python a float of seconds. A ``timedelta`` is accepted too."""

Bytes = Annotated[int, BeforeValidator(_to_bytes), Env(expects="bytes (also 64KiB, 10MiB, 1GiB)")]
"""A size; in Python an int of bytes."""

CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split), Env(expects="names separated by commas")]

RedisUrl = Annotated[
    str,
    AfterValidator(check_redis_url),
    Env(expects="redis://[user:password@]host[:port][/database], rediss://... or unix:///path/of/socket"),
]


_environ: ContextVar[Mapping[str, str] | None] = ContextVar("understudy_settings_environ", default=None)


class _Environment(PydanticBaseSettingsSource):
    """Raw strings by exact name. Pydantic's own source would ignore case and parse tuples as JSON."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = _env_name(self.settings_cls, field_name, field)
        return _read(name), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class EnvSettings(BaseSettings):
    """Base of every settings class: frozen, strings from the environment only, no ``.env`` files.

    Give a field its bounds and help with ``Annotated[..., Field(ge=, le=, description=)]``; use ``SecretStr``
    for passwords. A subclass sets ``model_config = SettingsConfigDict(env_prefix="SMTP_")``; with
    ``owned_prefix`` it also declares that unknown names under that prefix are mistakes.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    owned_prefix: ClassVar[str | None] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, _Environment(settings_cls))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask_url(value) if isinstance(value, str) and "://" in value else value


A = TypeVar("A", bound=EnvSettings)
B = TypeVar("B", bound=EnvSettings)
C = TypeVar("C", bound=EnvSettings)


@overload
def load(first: type[A], /, *, environ: Mapping[str, str] | None = None) -> A: ...
@overload
def load(first: type[A], second: type[B], /, *, environ: Mapping[str, str] | None = None) -> tuple[A, B]: ...
@overload
def load(
    first: type[A], second: type[B], third: type[C], /, *, environ: Mapping[str, str] | None = None
) -> tuple[A, B, C]: ...
@overload
def load(
    first: type[A], /, *others: type[EnvSettings], environ: Mapping[str, str] | None = None
) -> tuple[A, *tuple[EnvSettings, ...]]: ...
def load(*classes: type[EnvSettings], environ: Mapping[str, str] | None = None) -> object:
    """Read settings classes from ``environ`` (default: ``os.environ``): one class gives its instance,
    several give a tuple in the same order.

    Raises:
      SettingsError: lists every mistake of all the classes together. Passwords are masked.
    """
    loaded: list[EnvSettings] = []
    problems: list[str] = []
    token = _environ.set(environ if environ is not None else os.environ)
    try:
        for cls in classes:
            try:
                loaded.append(cls())
            except ValidationError as error:
                problems += [_problem(cls, detail) for detail in error.errors(include_url=False)]
        problems += _unknown_names(classes)
    finally:
        _environ.reset(token)
    if problems:
        # Raised outside the except block: a cause or a context would carry the values as they were typed.
        raise SettingsError(list(dict.fromkeys(problems)))
    return loaded[0] if len(classes) == 1 else tuple(loaded)


def _current() -> Mapping[str, str]:
    environ = _environ.get()
    return environ if environ is not None else os.environ


def _read(name: str) -> str | None:
    value = _current().get(name, "")
    return value if value.strip() else None


def _mark(field: FieldInfo, attribute: Literal["name", "expects"]) -> str | None:
    # The last mark that says something wins: the field's own stands after the one of its type.
    said = [getattr(mark, attribute) for mark in _metadata(field) if isinstance(mark, Env)]
    return next((text for text in reversed(said) if text is not None), None)


def _metadata(field: FieldInfo) -> list[Any]:
    # `RedisUrl | None` keeps the marks of RedisUrl inside the union.
    inner = [item for arm in typing.get_args(field.annotation) for item in getattr(arm, "__metadata__", ())]
    return [*inner, *field.metadata]


def _env_name(cls: type[BaseSettings], name: str, field: FieldInfo) -> str:
    return _mark(field, "name") or f"{cls.model_config.get('env_prefix', '')}{name}".upper()


def _is_secret(name: str, field: FieldInfo) -> bool:
    named = re.search(r"password|passwd|secret|token|credential", name.lower()) is not None
    return named or _holds(field.annotation, SecretStr)


def _holds(kind: object, wanted: type) -> bool:
    """Whether ``wanted`` is part of an annotation, however deep."""
    return kind is wanted or any(_holds(part, wanted) for part in typing.get_args(kind))


def _expects(field: FieldInfo) -> str:
    """In words, what may stand there."""
    low, high = (
        next((bound for item in field.metadata if (bound := getattr(item, end, None)) is not None), None)
        for end in ("ge", "le")
    )
    options = [
        option
        for kind in (field.annotation, *typing.get_args(field.annotation))
        if typing.get_origin(kind) is Literal
        for option in typing.get_args(kind)
    ]
    text = _mark(field, "expects")
    if text is None and options:
        text = "one of " + ", ".join(str(option) for option in options)
    if text is None:
        kinds = (field.annotation, *typing.get_args(field.annotation))
        words = {bool: "true or false", int: "a whole number", float: "a number"}
        text = next((word for kind, word in words.items() if kind in kinds), "a text")
    if low is not None and high is not None:
        return f"{text} from {low:.15g} to {high:.15g}"
    if low is not None:
        return f"{text}, at least {low:.15g}"
    return text if high is None else f"{text}, at most {high:.15g}"


_SAID = {
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": "is neither true nor false",
    "literal_error": "is not a choice",
    "string_pattern_mismatch": "holds characters that may not stand there",
    "string_too_long": "is too long",
    "greater_than_equal": "is too small",
    "greater_than": "is too small",
    "less_than_equal": "is too large",
    "less_than": "is too large",
    "missing": "is not set",
}


def _problem(cls: type[EnvSettings], detail: ErrorDetails) -> str:
    what = _SAID.get(detail["type"])
    if what is None:
        # A ValueError of a validator comes with its own words; only pydantic's wording begins in capitals.
        own = detail.get("ctx", {}).get("error")
        what = str(own) if own is not None else f"is wrong ({detail['type'].replace('_', ' ')})"
    name = str(detail["loc"][0]) if detail["loc"] else ""
    field = cls.model_fields.get(name)
    if field is None:
        return f"{cls.__name__}: {what}"  # a check over several fields names them itself
    env = _env_name(cls, name, field)
    raw = None if _is_secret(name, field) else _read(env)
    shown = "" if raw is None else f"={mask_url(raw)[:200]!r}"
    return f"{env}{shown} {what}; write {_expects(field)}"


def _unknown_names(classes: tuple[type[EnvSettings], ...]) -> list[str]:
    prefixes = tuple({cls.owned_prefix for cls in classes if cls.owned_prefix})
    ours = [name for name in sorted(_current()) if name.upper().startswith(prefixes)]
    if not ours:
        return []  # as nearly always for settings that bodies read
    known = {
        _env_name(cls, name, field)
        for cls in {*classes, *_subclasses(EnvSettings)}
        for name, field in cls.model_fields.items()
    }
    problems = []
    for name in ours:
        if name in known:
            continue
        # Without the prefix, which all of them share: it would make anything look alike.
        rests = {_without(prefixes, other): other for other in sorted(known)}
        close = difflib.get_close_matches(_without(prefixes, name.upper()), rests, n=1, cutoff=0.75)
        advice = f"did you mean {rests[close[0]]}?" if close else "remove it; `describe` lists the names there are"
        problems.append(f"{name} is not a setting; {advice}")
    return problems


def _without(prefixes: tuple[str, ...], name: str) -> str:
    return name[len(next((prefix for prefix in prefixes if name.startswith(prefix)), "")) :]


def _subclasses(cls: type[EnvSettings]) -> Iterator[type[EnvSettings]]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


@dataclass(frozen=True)
class SettingInfo:
    """One setting, for ``--help`` and the docs. ``default`` is what one would write, None when required
    or when nothing is the default."""

    name: str
    field: str
    default: str | None
    expects: str
    help: str


def describe(*classes: type[EnvSettings]) -> list[SettingInfo]:
    """Every setting of ``classes``, in the order of declaration."""
    return [
        SettingInfo(
            name=_env_name(cls, name, field),
            field=name,
            default=_written(field),
            expects=_expects(field),
            help=field.description or "",
        )
        for cls in classes
        for name, field in cls.model_fields.items()
    ]


def _written(field: FieldInfo) -> str | None:
    default = field.default
    if field.is_required() or field.default_factory is not None or default is None:
        return None
    if isinstance(default, tuple):
        return ",".join(str(item) for item in default)
    return f"{default:.15g}" if isinstance(default, float) else str(default)
