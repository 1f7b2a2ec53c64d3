"""Why: times and durations cross the border to Kubernetes in one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import durationpy


def parsed(text: object) -> datetime | None:
    """An RFC 3339 time of the API server; None where there is none or it cannot be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def written(moment: datetime) -> str:
    """``moment`` as a MicroTime of the API server."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def duration(text: object) -> timedelta | None:
    """A Go duration such as ``5m``; None where there is none or it cannot be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return durationpy.from_str(text)
    except (durationpy.DurationError, OverflowError, ValueError):
        return None
