"""Why: "slower than normal" needs a normal, measured just before the faults.

Pure statistics over the values of a window. Fetching the window is for the run; what a difference
means is for the report.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from gameday.spec.base import Model


class Baseline(Model):
    """One signal of one service in the window before the faults, in the signal's own unit."""

    signal: str
    service: str
    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    spread: float  # sample standard deviation; 0 for a single value


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of ``ordered`` lies, interpolated linearly."""
    position = (len(ordered) - 1) * share
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    first, part = ordered[low], position - low
    # What is infinite has no place between: it is there, or it is not.
    return first if not part or math.isinf(first) else first + (ordered[high] - first) * part


def summarise(signal: str, service: str, values: Iterable[float]) -> Baseline | None:
    """The baseline of these values, or None where there is no finite one."""
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return None
    return Baseline(
        signal=signal,
        service=service,
        count=len(ordered),
        mean=statistics.fmean(ordered),
        p50=percentile(ordered, 0.50),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        spread=statistics.stdev(ordered) if len(ordered) > 1 else 0.0,
    )


class Impact(Model):
    """One signal of one service: normal before, its worst while faults were in, its last after."""

    signal: str
    service: str
    unit: str
    before: float | None
    worst: float | None
    after: float | None
    unusual: bool  # the worst lies outside what the baseline's own spread explains


# Three standard deviations: a signal that only wobbles as before stays inside (Shewhart's rule).
_UNUSUAL_DEVIATIONS = 3.0


def impact(
    signal: str,
    service: str,
    *,
    unit: str,
    lower_is_worse: bool,
    baseline: Baseline | None,
    during: Sequence[float],
    after: Sequence[float],
) -> Impact:
    """Hold what was seen while faults were in against the baseline."""
    worst = (min if lower_is_worse else max)(during) if during else None
    unusual = False
    if baseline is not None and worst is not None:
        distance = baseline.mean - worst if lower_is_worse else worst - baseline.mean
        # A perfectly flat baseline has no spread; a thousandth of its level still counts as flat.
        noise = max(baseline.spread, abs(baseline.mean) * 0.001, 1e-9)
        unusual = distance > _UNUSUAL_DEVIATIONS * noise
    return Impact(
        signal=signal,
        service=service,
        unit=unit,
        before=baseline.mean if baseline else None,
        worst=worst,
        after=after[-1] if after else None,
        unusual=unusual,
    )


def by_key(baselines: Iterable[Baseline]) -> Mapping[tuple[str, str], Baseline]:
    """The baselines, to be found by signal and service."""
    return {(one.signal, one.service): one for one in baselines}
