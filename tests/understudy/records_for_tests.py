"""Classes that travel, at the top of a module as users have them."""

from __future__ import annotations

import dataclasses
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import pydantic

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    street: str
    number: int = 1


@dataclass
class Person:
    name: str
    address: Address | None = None
    friends: list[Person] = field(default_factory=list)
    letters: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.letters = len(self.name)


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Picky:
    age: int

    def __post_init__(self) -> None:
        if self.age < 0:
            raise RuntimeError("too young")


@dataclass(init=False)
class WithoutConstructor:
    name: str


@dataclass
class WithInitVar:
    name: str
    salt: InitVar[str]


@dataclass
class WithOwnConstructor:
    name: str

    def __init__(self, raw: str) -> None:
        self.name = raw


class Point(msgspec.Struct, rename="camel", tag=True):
    pos_x: int
    label: Any = None


class Account(pydantic.BaseModel):
    user_id: int = pydantic.Field(alias="userId")
    born: datetime | None = None
    home: Address | None = None
    parent: Account | None = None


class Open(pydantic.BaseModel, extra="allow"):
    name: str


class Strict(pydantic.BaseModel, strict=True):
    names: list[str]


class Names(pydantic.RootModel[list[str]]):
    pass


class Carton(pydantic.BaseModel, Generic[T]):
    content: T


class Pair(NamedTuple):
    one: int
    two: int


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    LARGE = "large"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    pass


class Number(int):
    pass


class Plain:
    pass


Renamed = dataclasses.make_dataclass("NotItsName", ["x"])
