"""Why: every draw of the twin comes from a named source, so that one part never disturbs another."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from gameday.spec.twin import Work
from sandbox.world import World

# The 95 % quantile of the standard normal distribution.
_Z95 = 1.6448536269514722


class Chance:
    """The twin's sources of chance."""

    __slots__ = ("arrivals", "balance", "cache", "faults", "work")

    def __init__(self, world: World) -> None:
        self.arrivals = world.random("twin arrivals")
        self.balance = world.random("twin load balancing")
        self.cache = world.random("twin caches")
        self.faults = world.random("twin faults")
        self.work = world.random("twin service times")


def lognormal(work: Work, source: random.Random) -> Callable[[], float]:
    """Draws service times in seconds, with the median and the P95 of ``work``."""
    median = work.median.total_seconds()
    mean = math.log(median)
    spread = math.log(work.p95.total_seconds() / median) / _Z95
    gauss, exp = source.gauss, math.exp
    return lambda: exp(gauss(mean, spread))
