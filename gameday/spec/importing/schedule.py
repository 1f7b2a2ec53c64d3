"""Why: a Schedule breaks things again and again by itself; here a person or a plan of weeks starts a run.

Turns its times into how often the experiment should be run, and says what else of it has no place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Final

from cronsim import CronSim, CronSimError

from gameday.spec.base import parse_duration
from gameday.spec.experiment import Frequency
from gameday.spec.importing.places import Place

_EVERY: Final = "@every "
_SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Up to so long from one time to the next; a month has 31 days at most, a quarter 92.
_OFTEN: Final[tuple[tuple[timedelta, Frequency], ...]] = (
    (timedelta(days=7), "weekly"),
    (timedelta(days=14), "every-second-week"),
    (timedelta(days=31), "monthly"),
    (timedelta(days=92), "quarterly"),
)
_FROM: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LOOKS: Final = 13
_WITHOUT_A_PLACE: Final = {
    "historyLimit": "the journal keeps every run",
    "concurrencyPolicy": "Leases keep two runs from one service",
    "startingDeadlineSeconds": "a run that cannot start is refused",
}


def frequency(spec: Mapping[str, Any], place: Place) -> Frequency:
    """How often an experiment should be run that a Schedule ran; wrong times are refused."""
    for key, why in _WITHOUT_A_PLACE.items():
        if key in spec:
            place.below(key).left_out(why)
    times = str(spec.get("schedule", "")).strip()
    at = place.below("schedule")
    try:
        gap = _gap(times)
    except (ValueError, CronSimError) as error:
        at.refuse(f"not a time of cron: {error}")
        return "on-demand"
    often: Frequency = next((name for longest, name in _OFTEN if gap <= longest), "on-demand")
    at.changed(f"{times!r} became frequency {often}: nothing starts by itself because of it")
    return often


def _gap(times: str) -> timedelta:
    """How long it usually is from one time to the next. Raises ``ValueError`` or ``CronSimError``."""
    if times.startswith(_EVERY):
        return parse_duration(times.removeprefix(_EVERY))
    coming = list(islice(CronSim(_SHORTHANDS.get(times, times), _FROM), _LOOKS))
    if len(coming) < 2:
        return timedelta.max
    gaps = sorted(later - earlier for earlier, later in pairwise(coming))
    return gaps[len(gaps) // 2]
