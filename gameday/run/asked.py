"""Why: what a stage had to show is looked at by people, too, whether or not its query has a name elsewhere.

Gives a name to each query of a ``mustShow`` that is neither a signal of the platform nor a probe's. What
was shown is ``showing``'s to judge.
"""

from __future__ import annotations

from itertools import chain, count
from typing import Final

from gameday.plan.model import Plan
from gameday.spec.platform import Platform
from gameday.spec.showing import Showing

# Of a name with 40 characters; the rest is for a number.
_MOST: Final = 37


def plain(query: str | None) -> str:
    """A query without what makes no difference to it: to be told from another."""
    return " ".join((query or "").split())


def asked(plan: Plan, platform: Platform) -> dict[str, Showing]:
    """What stages must show by queries of their own, each query once, by the name of its signal."""
    named = [(one.name, one.query) for one in platform.prometheus.signals]
    named += [(one.name, one.query) for one in plan.watches]
    known = {plain(query) for _, query in named}
    taken = {name for name, _ in named}
    found: dict[str, Showing] = {}
    for stage in plan.stages:
        for one in stage.must_show:
            if plain(one.query) in known:
                continue
            known.add(plain(one.query))
            names = chain((one.name,), (f"{one.name[:_MOST].rstrip('-')}-{number}" for number in count(2)))
            name = next(name for name in names if name not in taken)
            taken.add(name)
            found[name] = one
    return found
