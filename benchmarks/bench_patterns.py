"""How well failure patterns are recognised: precision and recall over seeded cases of the twin.

The thresholds were chosen on the tuning seeds alone; the held-out seeds are what counts. Labels come from
the twin's own counters and states (``pattern_truth``), signals from the queries of platform.yaml over what
was scraped (``pattern_cases``). Where the twin itself only hints at a pattern, the case counts for no
detector; how many there are is printed. Beside it a detector of fixed thresholds, as the guide words its
detection: errors at two services, CPU or memory above 90 %, a pool that was seen full, half as many
requests again. The targets are 0.9 each, and no pattern on healthy runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, get_args

from scipy import stats

from benchmarks.measuring import Spread, head, say, table
from benchmarks.pattern_cases import Case
from benchmarks.pattern_families import FAMILIES, case
from gameday.analysis.model import PatternName, Window
from gameday.analysis.patterns import find
from gameday.spec.platform import Measure

_NAMES: Final[tuple[PatternName, ...]] = get_args(PatternName)
_TUNING: Final = (*range(220), *range(10_000, 10_220))
_HELD_OUT: Final = tuple(range(50_000, 50_240))
_FEW: Final = 60
_PROCESSES: Final = 2
_SURE: Final = (0.5, 0.7, 0.9, 1.01)


@dataclass(frozen=True, slots=True)
class Judged:
    """One case: what there was, what was found and how sure, what fixed thresholds found."""

    seed: int
    family: str
    label: Mapping[str, tuple[str, ...]]
    unclear: frozenset[str]
    found: Mapping[str, float]
    naive: frozenset[str]
    unscraped: bool
    took_s: float


def judge(seed: int) -> Judged:
    one = case(seed)
    began = time.perf_counter()
    found = find(one.series, one.windows, one.platform, hit=one.hit)
    took = time.perf_counter() - began
    sure: dict[str, float] = {pattern.name: pattern.sure for pattern in found}
    return Judged(seed, one.family, one.label, one.unclear, sure, naive(one), _unscraped(one), took)


def _unscraped(one: Case) -> bool:
    """Whether of some service nothing could be scraped for half of the fault's time or more."""
    during = one.windows[1]
    wanted = {series.service: 0 for series in one.series if series.signal == "requests"}
    for series in one.series:
        if series.signal == "requests":
            wanted[series.service] = len(series.between(during.begin, during.end))
    return any(count < during.lasts / one.series[0].step / 2 for count in wanted.values())


def naive(one: Case) -> frozenset[str]:
    """What a detector of fixed thresholds finds."""
    before, since = (
        one.windows[0],
        Window.model_validate({"name": "since", "begin": one.windows[1].begin, "end": one.windows[2].end}),
    )
    measures = {signal.name: signal.measures for signal in one.platform.prometheus.signals}

    def services(wanted: Measure, over: Callable[[float, float], bool]) -> set[str]:
        found = set()
        for series in one.series:
            if measures[series.signal] == wanted:
                usual = series.between(before.begin, before.end)
                mean = sum(usual) / len(usual) if usual else 0.0
                if any(over(value, mean) for value in series.between(since.begin, since.end)):
                    found.add(series.service)
        return found

    found = {
        "cascading-failure": len(services("errors", lambda value, _: value > 0.1)) >= 2,
        "resource-exhaustion": services("cpu", lambda value, _: value > 0.9)
        | services("memory", lambda value, _: value > 0.9),
        "connection-pool-exhaustion": services("pool-use", lambda value, _: value >= 1),
        "thundering-herd": services("requests", lambda value, mean: value > 1.5 * mean > 0),
    }
    return frozenset(name for name, services in found.items() if services)


def figures(judged: Iterable[tuple[bool, bool]]) -> tuple[str, str]:
    """Precision and recall of pairs (there was, was found), each with its 95 % interval."""
    counts = Counter(judged)
    right = counts[True, True]
    return _share(right, right + counts[False, True]), _share(right, right + counts[True, False])


def _share(count: int, of: int) -> str:
    if not of:
        return "none"
    low, high = stats.binomtest(count, of).proportion_ci(method="wilson")
    return f"{count / of:.3f} ({low:.2f} to {high:.2f})"


def show(title: str, judged: Sequence[Judged]) -> None:
    say(f"{title}: {len(judged)} cases of {len(FAMILIES)} families")
    rows = []
    for name in _NAMES:
        clear = [one for one in judged if name not in one.unclear]
        precision, recall = figures((name in one.label, name in one.found) for one in clear)
        fixed = figures((name in one.label, name in one.naive) for one in clear)
        counts = sum(name in one.label for one in clear), len(judged) - len(clear)
        rows.append((name, *counts, precision, recall, *fixed))
    columns = ("pattern", "cases that have it", "only hinted at", "precision", "recall")
    table((*columns, "fixed: precision", "fixed: recall"), rows)
    healthy = [one for one in judged if one.family == "healthy"]
    wrong = sum(bool(one.found) for one in healthy)
    say(f"Healthy runs: {len(healthy)}, of which a pattern was told of {wrong}.")


def show_sureness(judged: Sequence[Judged]) -> None:
    rows = []
    for low, high in pairwise(_SURE):
        told = [
            name in one.label
            for one in judged
            for name, sure in one.found.items()
            if low <= sure < high and name not in one.unclear
        ]
        rows.append((f"{low:g} to {min(high, 1):g}", len(told), _share(sum(told), len(told))))
    table(("how sure it was", "patterns told", "of which right"), rows)


def show_mistakes(judged: Sequence[Judged]) -> None:
    rows = [
        (
            one.seed,
            one.family,
            name,
            "missed" if name in one.label else f"told, {one.found[name]:.2f} sure",
            "not scraped" if one.unscraped else "",
        )
        for one in judged
        for name in _NAMES
        if name not in one.unclear and (name in one.label) != (name in one.found)
    ]
    table(("seed", "family", "pattern", "mistake", "of a service nothing was"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"{_FEW} held-out cases, none of the tuning ones"
    )
    parser.add_argument("--held-out", action="store_true", help="all held-out cases, none of the tuning ones")
    arguments = parser.parse_args()
    quick = arguments.quick
    head("failure patterns, precision and recall")
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        if not (quick or arguments.held_out):
            show("Tuning seeds", pool.map(judge, _TUNING, chunksize=4))
        held_out = pool.map(judge, _HELD_OUT[: _FEW if quick else None], chunksize=4)
    show("Held-out seeds", held_out)
    show("Of these, where each service was scraped", [one for one in held_out if not one.unscraped])
    show_sureness(held_out)
    show_mistakes(held_out)
    took = [one.took_s for one in held_out]
    say(f"Finding the patterns of one run took {Spread.of(1000 * one for one in took)} ms.")


if __name__ == "__main__":
    main()
