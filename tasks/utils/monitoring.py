"""What is measured of the work of this house, by name."""

from __future__ import annotations

#: Seconds: the buckets by which durations are counted. A mail takes tens of milliseconds, an export minutes.
BODY_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1_800)
