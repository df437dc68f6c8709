"""Libraries that write whole URLs into the log, whose paths and queries are secrets: a webhook's, a chat service's, a
signed link's. They say nothing below CRITICAL, whatever the level of the rest. Who must hear one sets its level after
the adapters are imported."""

from __future__ import annotations

import logging

#: Loggers; what stands below them (``urllib3.connectionpool``) is quiet too.
TALKATIVE = (
    *("urllib3", "requests", "requests_oauthlib", "httpx", "httpcore", "aiohttp"),
    *("apprise", "botocore", "boto3", "aiobotocore", "s3fs", "gcsfs", "adlfs", "azure", "fsspec"),
)


def silence() -> None:
    """Silence them all, also those that are not imported yet."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
