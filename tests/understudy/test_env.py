"""Settings classes of other packages: names, sources, mistakes, descriptions."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from understudy.env import Bytes, CommaSeparated, Env, EnvSettings, Seconds, describe, load
from understudy.errors import SettingsError


class Post(EnvSettings):
    model_config = SettingsConfigDict(env_prefix="POST_")

    host: Annotated[str, Field(description="Where the post office is.")]
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    password: SecretStr | None = None
    patience: Seconds = 10.0
    weight: Bytes = 1024
    routes: CommaSeparated = ()
    insured: bool = False
    origin: Annotated[str, Env("LAND_OF_ORIGIN")] = "home"

    @model_validator(mode="after")
    def _insurance_needs_a_password(self) -> Post:
        if self.insured and self.password is None:
            raise ValueError("POST_INSURED without POST_PASSWORD; set both or none")
        return self


class Stamps(EnvSettings):
    model_config = SettingsConfigDict(env_prefix="STAMPS_")
    owned_prefix = "STAMPS_"

    colour: str = "red"


def problems(*classes: type[EnvSettings], **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(*classes, environ=environ)
    return caught.value.problems


def test_names_are_the_prefix_and_the_field_in_capitals() -> None:
    post = load(Post, environ={"POST_HOST": "pst", "POST_PORT": "26", "LAND_OF_ORIGIN": "away"})
    assert (post.host, post.port, post.origin) == ("pst", 26, "away")


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POST_HOST", "from the process")
    assert load(Post).host == "from the process"


def test_a_given_environment_replaces_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POST_PORT", "99")
    assert load(Post, environ={"POST_HOST": "x"}).port == 25


def test_names_in_other_capitals_are_not_read() -> None:
    assert load(Post, environ={"POST_HOST": "x", "post_port": "99"}).port == 25


def test_an_empty_value_counts_as_not_set() -> None:
    assert load(Post, environ={"POST_HOST": "x", "POST_PORT": " "}).port == 25


def test_settings_are_frozen() -> None:
    post = load(Post, environ={"POST_HOST": "x"})
    with pytest.raises(ValidationError, match="frozen"):
        post.port = 1


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5", 5.0),
        ("0.25", 0.25),
        ("300ms", 0.3),
        ("5s", 5.0),
        ("5 m", 300.0),
        ("1h", 3600.0),
        ("2d", 172800.0),
    ],
)
def test_durations_are_seconds_or_carry_a_unit(written: str, seconds: float) -> None:
    assert load(Post, environ={"POST_HOST": "x", "POST_PATIENCE": written}).patience == seconds


def test_a_timedelta_is_a_duration_too() -> None:
    assert Post(host="x", patience=timedelta(minutes=2)).patience == 120.0  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["soon", "-5", "5 weeks", "1h30", "nan", "inf", "1e3"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    (problem,) = problems(Post, POST_HOST="x", POST_PATIENCE=written)
    assert problem.startswith(f"POST_PATIENCE='{written}' is not a duration; write seconds")


@pytest.mark.parametrize(("written", "size"), [("7", 7), ("64KiB", 65536), ("2 mib", 2097152), ("1GiB", 2**30)])
def test_sizes_are_bytes_or_carry_a_unit(written: str, size: int) -> None:
    assert load(Post, environ={"POST_HOST": "x", "POST_WEIGHT": written}).weight == size


def test_lists_are_separated_by_commas() -> None:
    assert load(Post, environ={"POST_HOST": "x", "POST_ROUTES": "a, b,,c "}).routes == ("a", "b", "c")


def test_every_mistake_of_every_class_is_reported_at_once() -> None:
    said = problems(Post, Stamps, POST_PORT="0", POST_INSURED="maybe", STAMPS_COLOR="blue")
    assert said == [
        "POST_HOST is not set; write a text",
        "POST_PORT='0' is too small; write a whole number from 1 to 65535",
        "POST_INSURED='maybe' is neither true nor false; write true or false",
        "STAMPS_COLOR is not a setting; did you mean STAMPS_COLOUR?",
    ]


def test_a_name_that_shares_nothing_but_the_prefix_is_not_proposed() -> None:
    class Long(EnvSettings):
        model_config = SettingsConfigDict(env_prefix="UNDERSTUDIED_")
        owned_prefix = "UNDERSTUDIED_"

        modules: str = ""
        server: Annotated[str, Env(name="SERVER_URL")] = ""

    said = problems(Long, UNDERSTUDIED_FOO="1", UNDERSTUDIED_MODULS="1", UNDERSTUDIED_SERVER_URL="1")
    assert "did you mean" not in said[0]
    proposed = [text.partition("; ")[2] for text in said[1:]]
    assert proposed == ["did you mean UNDERSTUDIED_MODULES?", "did you mean SERVER_URL?"]


def test_a_check_over_several_fields_speaks_for_itself() -> None:
    assert problems(Post, POST_HOST="x", POST_INSURED="1") == [
        "Post: POST_INSURED without POST_PASSWORD; set both or none"
    ]


def test_a_secret_is_shown_neither_in_the_repr_nor_in_an_error() -> None:
    class Vault(EnvSettings):
        model_config = SettingsConfigDict(env_prefix="VAULT_")
        password: Annotated[SecretStr, Field(min_length=10)]

    with pytest.raises(SettingsError) as caught:
        load(Vault, environ={"VAULT_PASSWORD": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "hunter2" not in repr(load(Vault, environ={"VAULT_PASSWORD": "hunter2hunter2"}))


def test_unknown_names_under_a_foreign_prefix_are_none_of_our_business() -> None:
    assert load(Post, environ={"POST_HOST": "x", "POST_OFFICE": "y"}).host == "x"


def test_several_classes_come_back_in_order() -> None:
    post, stamps = load(Post, Stamps, environ={"POST_HOST": "x"})
    assert (post.host, stamps.colour) == ("x", "red")


def test_describe_tells_name_default_and_help() -> None:
    told = {info.name: info for info in describe(Post, Stamps)}
    assert list(told)[:2] == ["POST_HOST", "POST_PORT"]
    assert told["POST_HOST"].help == "Where the post office is."
    assert told["POST_HOST"].default is None
    assert told["POST_PORT"].default == "25"
    assert told["POST_PORT"].expects == "a whole number from 1 to 65535"
    assert told["LAND_OF_ORIGIN"].default == "home"
    assert told["STAMPS_COLOUR"].field == "colour"
