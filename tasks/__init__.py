"""What does work: actors by domain. Importing this package installs the broker that the settings describe.

It comes first, because an actor's options are those of the installed middleware. No I/O happens here: the first
send or the worker connects. The settings of the adapters (mail, webhooks, channels, files, database, reports) are
checked here as well, so that a mistake in them is told when a worker starts and not by the first message.

Raises:
  understudy.errors.SettingsError: lists every wrong setting, those of the engine and those of the outside world.
"""

from __future__ import annotations

from middleware.stack import stack
from tasks.adapters.channel_settings import ChannelSettings
from tasks.adapters.database_settings import DatabaseSettings
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.mail import MailSettings
from tasks.adapters.report_settings import ReportSettings
from tasks.adapters.web import WebhookSettings
from tasks.utils.monitoring import BODY_SECONDS
from understudy.runtime import install
from understudy.settings import Settings, load

settings, *_ = load(
    Settings, MailSettings, WebhookSettings, ChannelSettings, FileSettings, DatabaseSettings, ReportSettings
)
broker = install(settings, middleware=stack(settings, buckets=BODY_SECONDS))

from tasks import (  # noqa: E402 - actors stand on the broker that was installed above
    analytics_tasks,
    cleanup_tasks,
    email_tasks,
    export_tasks,
    import_tasks,
    notification_tasks,
)
from tasks.periodic import daily_tasks, hourly_tasks, monthly_tasks, weekly_tasks  # noqa: E402 - as above

__all__ = [
    "analytics_tasks",
    "broker",
    "cleanup_tasks",
    "daily_tasks",
    "email_tasks",
    "export_tasks",
    "hourly_tasks",
    "import_tasks",
    "monthly_tasks",
    "notification_tasks",
    "settings",
    "weekly_tasks",
]
