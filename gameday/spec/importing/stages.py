"""Why: stages follow each other and their faults share one duration; faults of a manifest may overlap.

Faults that are in at the same time become one stage. Where that changes when one begins or ends, it
is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gameday.spec.base import LONGEST_NAME, format_duration
from gameday.spec.importing.faults import Found
from gameday.spec.importing.workflow import Timed


@dataclass(frozen=True)
class Draft:
    """A stage to be."""

    name: str
    faults: tuple[Found, ...]
    lasts: timedelta
    settles: timedelta


def stages(faults: Iterable[Timed], ends: timedelta) -> list[Draft]:
    """The stages that ``faults`` come to, in order; what passes without a fault is settling."""
    groups: list[list[Timed]] = []
    over = timedelta(0)
    for one in sorted(faults, key=lambda one: one.starts):
        if groups and one.starts < over:
            groups[-1].append(one)
        else:
            groups.append([one])
        over = max(over, one.ends)
    if groups and (waited := groups[0][0].starts):
        groups[0][0].fault.place.changed(
            f"{format_duration(waited)} passed before this, the first fault; nothing is waited for here"
        )
    begins = [*(group[0].starts for group in groups[1:]), ends]
    taken: set[str] = set()
    return [_draft(group, until, taken) for group, until in zip(groups, begins, strict=False)]


def _draft(group: Sequence[Timed], until: timedelta, taken: set[str]) -> Draft:
    starts, over = group[0].starts, max(one.ends for one in group)
    lasts = over - starts if len({one.starts for one in group}) > 1 else max(one.lasts for one in group)
    for one in group:
        if one.starts != starts or one.lasts != lasts:
            later = f"began {format_duration(one.starts - starts)} later and " if one.starts != starts else ""
            one.fault.place.changed(
                f"{one.fault.name} {later}lasted {format_duration(one.lasts)}; the faults of a stage act "
                f"together, this one for {format_duration(lasts)}"
            )
    name = slug(group[0].fault.name if len(group) == 1 else f"{group[0].fault.name}-and-more", taken)
    return Draft(name, tuple(one.fault for one in group), lasts, max(until - over, timedelta(0)))


def slug(text: str, taken: set[str]) -> str:
    """``text`` as a name that is not among those ``taken``, and is then."""
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_NAME].strip("-") or "imported"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base[: LONGEST_NAME - 1 - len(str(number))].rstrip('-')}-{number}"
    taken.add(name)
    return name
