"""Every scene, by the kind of work. Importing it fills ``SCENES``."""

from __future__ import annotations

from . import events, flights, goods, keeping, mails, notices, users

__all__ = ["events", "flights", "goods", "keeping", "mails", "notices", "users"]
