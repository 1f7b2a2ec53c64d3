"""Why: "it got slower" needs how much, and how sure that is, from few and restless samples.

Ranks instead of means, so that one outlier moves nothing: the shift is Hodges and Lehmann's (the median
of all differences between a value during and one before, J. L. Hodges and E. L. Lehmann, 1963), its
interval comes from inverting the Mann-Whitney test, the size is Cliff's delta (N. Cliff, 1993). Samples
that follow each other resemble each other, so intervals are widened by how much they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from scipy import stats

from gameday.analysis.baseline import percentile
from gameday.analysis.model import Change, Effect, SignalSeries, Summary, Window
from gameday.analysis.series import Table, Values

METHOD: Final = (
    "Shift: Hodges-Lehmann; interval: inverted Mann-Whitney test, widened for autocorrelation (lag 1); "
    "size: Cliff's delta"
)

Worse = Literal["higher", "lower"]

# Fewer say nothing: not even the most extreme order of 4 and 4 values is rare enough (p = 0.03 one-sided).
_LEAST: Final = 5
# Of more, this many are taken, evenly spread: the pairs grow with the square.
_MOST: Final = 400
# A smaller delta is called negligible (J. Romano et al., 2006).
_NEGLIGIBLE: Final = 0.147
# A shift below this share of what was normal is real, perhaps, and of no interest.
_NOTICEABLE: Final = 0.05
# Rates over a minute, asked for every few seconds, resemble each other so much that five minutes of them
# could prove nothing at all: what is far outside of everything that was usual is believed all the same.
_MOST_ALIKE: Final = 0.7
_WHOLE: Final = frozenset({"before", "during", "after"})
# How many times the usual distance from the median still counts as usual, as in Hampel's filter.
_USUAL: Final = 3.0
_MAD: Final = 1.4826


def summary(values: Values) -> Summary | None:
    """The values in few numbers; None where there are none."""
    if not len(values):
        return None
    ordered = np.sort(values).tolist()
    return Summary.model_validate(
        {
            "count": len(ordered),
            "median": percentile(ordered, 0.50),
            "p95": percentile(ordered, 0.95),
            "least": ordered[0],
            "most": ordered[-1],
        }
    )


def effects(
    series: Sequence[SignalSeries],
    windows: Sequence[Window],
    worse_when: Callable[[str], Worse],
    confidence: float = 0.95,
) -> tuple[Effect, ...]:
    """What happened to each signal of each service from the window ``before`` to ``during`` and ``after``.

    ``during`` is all the time in which faults were in, stage by stage; shift and size are those of the
    stage that moved the signal farthest, and as sure as if it had been the only one (Bonferroni).
    ``worse_when`` says of a signal in which direction it gets worse.
    """
    table = Table(series)
    named = {window.name: window for window in windows}
    stages = [window for window in windows if window.name not in _WHOLE]
    certain = 1 - (1 - confidence) / max(len(stages), 1)
    found = []
    for one in sorted(series, key=lambda each: (each.signal, each.service)):
        before, after = (
            table.window(one.signal, one.service, named.get(name)) for name in ("before", "after")
        )
        parts = {stage.name: table.window(one.signal, one.service, stage) for stage in stages}
        during = np.concatenate([np.empty(0), *parts.values()])
        values: dict[str, object] = {"signal": one.signal, "service": one.service, "unit": one.unit}
        values |= {"before": summary(before), "during": summary(during), "after": summary(after)}
        values |= _farthest(before, parts, worse_when(one.signal), certain)
        values["back"] = is_back(before, after)
        found.append(Effect.model_validate(values))
    return tuple(found)


def _farthest(before: Values, parts: Mapping[str, Values], worse: Worse, confidence: float) -> dict[str, Any]:
    """The comparison with the stage that moved the signal farthest, to the bad side first of all."""
    found = [{"stage": name} | compare(before, values, worse, confidence) for name, values in parts.items()]
    order: Sequence[Change] = ("worse", "better", "same", "unknown")
    ranked = sorted(found, key=lambda one: (order.index(one["change"]), -abs(one.get("shift") or 0.0)))
    return ranked[0] if ranked else {"change": "unknown", "whyUnknown": "no fault was in"}


def compare(before: Values, during: Values, worse: Worse, confidence: float = 0.95) -> dict[str, Any]:
    """Shift and size of ``during`` against ``before`` with their intervals: fields of an ``Effect``."""
    if min(len(before), len(during)) < _LEAST:
        counts = f"{len(before)} values before, {len(during)} during"
        return {"change": "unknown", "whyUnknown": f"too few: {counts}, at least {_LEAST} each are needed"}
    first, second = _thinned(before), _thinned(during)
    wider = math.sqrt(_inflation(before))
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    shift, low, high = _shift(first, second, z * wider)
    size, size_low, size_high = _delta(first, second, z * wider)
    return {
        "shift": shift,
        "low": low,
        "high": high,
        "size": size,
        "sizeLow": size_low,
        "sizeHigh": size_high,
        "change": _change(shift, (low, high), (size, size_low, size_high), first, worse),
    }


def is_back(before: Values, after: Values) -> bool | None:
    """Whether the later half of ``after`` lies where ``before`` usually lay; None where that is unknown."""
    late = after[len(after) // 2 :]
    if not len(before) or not len(late):
        return None
    low, high = usual(before)
    return bool(low <= np.median(late) <= high)


def usual(before: Values) -> tuple[float, float]:
    """The band in which the signal usually lies: what was seen, or three deviations, whichever is wider."""
    median = float(np.median(before))
    if math.isinf(median):
        return float(before.min()), float(before.max())
    spread = _USUAL * _MAD * float(np.median(np.abs(before - median)))
    margin = max(spread, abs(median) * 0.01)
    return min(float(before.min()), median - margin), max(float(before.max()), median + margin)


def _thinned(values: Values) -> Values:
    if len(values) <= _MOST:
        return values
    thinned: Values = values[np.linspace(0, len(values) - 1, _MOST).round().astype(int)]
    return thinned


def _inflation(values: Values) -> float:
    """By how much fewer independent values there are than values: (1 + r) / (1 - r) of the lag-1 r."""
    if not np.isfinite(values).all():
        values = stats.rankdata(values)  # they have no mean, but an order
    centred = values - values.mean()
    power = float(centred @ centred)
    if power <= 0 or len(values) < 3:
        return 1.0
    r = float(centred[:-1] @ centred[1:]) / power
    r = min(max(r, 0.0), _MOST_ALIKE)
    return (1 + r) / (1 - r)


def _shift(before: Values, during: Values, z: float) -> tuple[float, float, float]:
    with np.errstate(invalid="ignore"):
        differences = (during[:, None] - before[None, :]).ravel()
    # Of two that are past everything, neither is past the other.
    differences[np.isnan(differences)] = 0.0
    differences.sort()
    m, n = len(before), len(during)
    # How far from the middle of all differences the interval reaches, by the test's normal approximation.
    reach = z * math.sqrt(m * n * (m + n + 1) / 12)
    lowest = max(math.floor(m * n / 2 - reach), 0)
    return (
        float(np.median(differences)),
        float(differences[lowest]),
        float(differences[m * n - 1 - lowest]),
    )


def _delta(before: Values, during: Values, z: float) -> tuple[float, float, float]:
    m, n = len(before), len(during)
    # Mann and Whitney's U from the ranks; scipy's test around them takes ten times as long.
    ranks = stats.rankdata(np.concatenate([during, before]))
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    delta = 2 * u / (m * n) - 1
    ordered = np.sort(before), np.sort(during)
    of_during = _dominance(during, ordered[0])
    of_before = -_dominance(before, ordered[1])
    # Cliff's unbiased variance, of which each value's own dominance is all that is needed.
    spread = float(np.var(of_during, ddof=1)) / n + float(np.var(of_before, ddof=1)) / m
    # At the ends the estimate of the spread is 0: there, as unsure as one pair more would make it.
    error = z * math.sqrt(max(spread, (1 - delta**2) / (m * n), 1 / (m * n) ** 2))
    return delta, max(delta - error, -1.0), min(delta + error, 1.0)


def _dominance(values: Values, ordered: Values) -> Values:
    """By each value: the share of ``ordered`` that it exceeds less the share that exceeds it."""
    below = np.searchsorted(ordered, values, side="left")
    above = len(ordered) - np.searchsorted(ordered, values, side="right")
    result: Values = (below - above) / len(ordered)
    return result


def _change(
    shift: float,
    interval: tuple[float, float],
    size: tuple[float, float, float],
    before: Values,
    worse: Worse,
) -> Change:
    delta, size_low, size_high = size
    certain = size_low > 0 or size_high < 0
    usually = abs(float(np.median(before)))
    matters = abs(delta) >= _NEGLIGIBLE and (math.isinf(shift) or abs(shift) > _NOTICEABLE * usually)
    if not (certain and matters and (interval[0] > 0 or interval[1] < 0)):
        return "same"
    return "worse" if (shift > 0) == (worse == "higher") else "better"
