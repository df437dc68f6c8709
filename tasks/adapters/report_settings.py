"""Who reads the reports, from ``REPORTS_*`` in the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from understudy.settings import CommaSeparated, Env, EnvSettings

from .mail_address import check_address


def _check_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_address(address) for address in value)


class ReportSettings(EnvSettings):
    """Who reads the reports, from ``REPORTS_*`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="REPORTS_")
    owned_prefix = "REPORTS_"

    to: Annotated[
        CommaSeparated,
        AfterValidator(_check_addresses),
        Env(expects="mail addresses, separated by commas"),
        Field(description="Who gets alerts, the daily digest and the weekly report by mail. Not set: nobody."),
    ] = ()
    directory: Annotated[
        str,
        Env(expects="a path below FILES_ROOT, or a URL as s3://bucket/reports"),
        Field(min_length=1, description="Where the weekly report and the monthly archive are written."),
    ] = "reports"
    dead_letters: Annotated[
        int, Field(ge=1, description="New dead letters within an hour of which an alert is sent.")
    ] = 1
