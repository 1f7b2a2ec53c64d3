"""Failure patterns are recognised where the twin knows that they are: a few of the benchmark's cases.

``benchmarks/bench_patterns.py`` judges it over hundreds; these are seeds that it tunes on.
"""

from __future__ import annotations

import pytest

from benchmarks.pattern_families import case
from gameday.analysis.patterns import find


@pytest.mark.parametrize(
    ("seed", "family", "expected"),
    [
        (0, "small pool, slow database", {"cascading-failure", "connection-pool-exhaustion"}),
        (3, "dependency down", {"cascading-failure"}),
        (6, "memory that leaks", {"resource-exhaustion"}),
        (10, "cache lost", {"thundering-herd"}),
        (
            9,
            "repeated calls",
            {"cascading-failure", "connection-pool-exhaustion", "resource-exhaustion"},
        ),
        (11, "healthy", set()),
        (13, "more or fewer users", set()),
        (15, "one pod killed", set()),
        (17, "the gateway itself", set()),
    ],
)
def test_what_the_twin_knows_is_what_the_signals_show(seed: int, family: str, expected: set[str]) -> None:
    one = case(seed)
    assert (one.family, set(one.label)) == (family, expected)
    found = find(one.series, one.windows, one.platform, hit=one.hit)
    # Where the twin itself only hints at a pattern, nobody is right or wrong.
    assert {pattern.name for pattern in found} - one.unclear == expected
