"""Why: what a service did while it could not be scraped is not lost: its counters remember.

A rate has a gap where its counter could not be read. Where the counter was read again, what it grew by
meanwhile is the mean rate of that gap. When within the gap it happened nobody can tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from gameday.analysis.model import SignalSeries


def have_gaps(rates: Mapping[str, SignalSeries]) -> bool:
    """Whether any of them has a gap between values."""
    return any(next(_gaps(rate.values), None) is not None for rate in rates.values())


def bridged(rates: Mapping[str, SignalSeries], totals: Mapping[str, SignalSeries]) -> list[SignalSeries]:
    """``rates``, by service, with their gaps filled by the mean rates of ``totals``, their counters.

    Both lie on one grid. A gap stays one where the counter began anew meanwhile, or was not read on both
    sides.
    """
    return [_bridged(rate, totals[service]) if service in totals else rate for service, rate in rates.items()]


def _bridged(rate: SignalSeries, total: SignalSeries) -> SignalSeries:
    values = list(rate.values)
    read = [(place, value) for place, value in enumerate(total.values) if value is not None]
    for first, after in _gaps(rate.values):
        # A rate outlives its counter by the time that it is taken over, and comes back later.
        before = next(((place, value) for place, value in reversed(read) if place < first), None)
        then = next(((place, value) for place, value in read if first <= place <= after), None)
        if before is None or then is None or not 0 <= then[1] - before[1] < math.inf:
            continue
        mean = (then[1] - before[1]) / ((then[0] - before[0]) * rate.step.total_seconds())
        values[first:after] = [mean] * (after - first)
    return rate.model_copy(update={"values": tuple(values)})


def _gaps(values: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """The place of the first missing value and that after the last, of each gap between two values."""
    place = 0
    for missing, run in groupby(values, key=lambda value: value is None):
        after = place + len(list(run))
        if missing and place > 0 and after < len(values):
            yield place, after
        place = after
