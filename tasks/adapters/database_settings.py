"""Which database tables are in, from ``DATABASE_*`` in the environment."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from understudy.settings import Env, EnvSettings, Seconds, Settings, load

_WRITE = "sqlite:///path/of/file or postgresql://[user[:password]@]host[:port]/database"
_FORMS = re.compile(r"(sqlite):///(?P<path>[^?#]+)|(postgresql|postgres)(\+psycopg)?://(?P<rest>.+)", re.DOTALL)


def check_database_url(value: str) -> str:
    """``value``, stripped. A ValueError says what is wrong with it, without repeating it."""
    value = value.strip()
    found = _FORMS.fullmatch(value)
    if found is None:
        raise ValueError("is neither SQLite nor PostgreSQL")
    if found["rest"] is not None:
        place, slash, name = found["rest"].rpartition("@")[2].partition("/")
        if not slash or not name.partition("?")[0]:
            raise ValueError("names no database")
        if place.count(":") > 1 and not place.startswith("["):
            raise ValueError("has no usable port after its host")
    return value


class DatabaseSettings(EnvSettings):
    """The database of the tables that nobody named another one for."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")
    owned_prefix = "DATABASE_"

    url: Annotated[
        Annotated[str, AfterValidator(check_database_url)] | None,
        Env(expects=_WRITE),
        Field(description="Where tables are. Not set: a SQLite file in UNDERSTUDY_DATA_DIR."),
    ] = None
    pool_size: Annotated[
        int, Field(ge=1, le=1000, description="Connections to PostgreSQL that a process keeps open at most.")
    ] = 5
    timeout: Annotated[
        Seconds,
        Field(
            ge=0.01, le=3600, description="How long to wait for a connection, or for another writer of a SQLite file."
        ),
    ] = 30.0

    @property
    def effective_url(self) -> str:
        """``url``, or the SQLite file that is the default."""
        return self.url if self.url is not None else f"sqlite:///{load(Settings).data_dir / 'tables.sqlite'}"
