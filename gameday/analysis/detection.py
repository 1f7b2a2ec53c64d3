"""Why: a fault that shows nowhere for minutes is one that people would be told of too late.

Tells for each stage how long after its faults went in the first signal left its usual band to the bad
side, and when the alerts fired that were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from gameday.analysis.effects import Worse, usual
from gameday.analysis.model import AlertSeen, Detection, Window
from gameday.analysis.series import Table

# One value outside may be chance; this many in a row are a change.
_IN_A_ROW: Final = 2


def detections(
    table: Table,
    stages: Sequence[Window],
    before: Window | None,
    signals: Iterable[str],
    worse_when: Callable[[str], Worse],
    alerts: Sequence[AlertSeen] = (),
) -> tuple[Detection, ...]:
    """For each stage the first of ``signals`` that showed it, and the first alert.

    A stage that no signal showed has a ``Detection`` without ``took``.
    """
    wanted = tuple(signals)
    found = []
    for stage in stages:
        seen = _first(table, stage, before, wanted, worse_when)
        values: Mapping[str, object] = {"by": "no signal"}
        if seen is not None:
            at, signal, service = seen
            by = f"{signal} at {service}" if service else signal
            values = {"by": by, "service": service, "took": max(at - stage.begin, type(stage.lasts)(0))}
        found.append(Detection.model_validate({"stage": stage.name, **values}))
        found += _first_alert(stage, alerts)
    return tuple(found)


def _first_alert(stage: Window, alerts: Sequence[AlertSeen]) -> list[Detection]:
    fired = [
        (one.took, one.alert, one.services)
        for one in alerts
        if one.stage == stage.name and one.took is not None and not one.before
    ]
    return [
        Detection.model_validate(
            {"stage": stage.name, "by": alert, "kind": "alert", "took": took}
            | {"service": services[0] if services else ""}
        )
        for took, alert, services in sorted(fired)[:1]
    ]


def _first(
    table: Table,
    stage: Window,
    before: Window | None,
    signals: Sequence[str],
    worse_when: Callable[[str], Worse],
) -> tuple[datetime, str, str] | None:
    found = []
    for signal in signals:
        for service in table.services(signal):
            normal = table.window(signal, service, before)
            if not len(normal):
                continue
            low, high = usual(normal)
            began, step, values = table.raw(signal, service, stage)
            outside = values > high if worse_when(signal) == "higher" else values < low
            place = _run_of(outside)
            if place is not None:
                found.append((began + place * step, signal, service))
    return min(found, default=None)


def _run_of(outside: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    """Where the first ``_IN_A_ROW`` true values in a row begin."""
    if len(outside) < _IN_A_ROW:
        return None
    rows = np.lib.stride_tricks.sliding_window_view(outside, _IN_A_ROW).all(axis=1)
    return int(rows.argmax()) if rows.any() else None
