"""What joins work: multi-step flows. Importing it imports the actors that they are made of."""

from __future__ import annotations

import tasks

__all__ = ["tasks"]
