"""Why: that no pattern was recognised means nothing where nothing could be seen.

Tells of which services Prometheus had no values while faults were in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from gameday.analysis.model import Window
from gameday.analysis.series import Table
from gameday.spec.platform import Platform

_MUCH: Final = 0.5


def unseen(table: Table, platform: Platform, stages: Iterable[Window]) -> tuple[str, ...]:
    """The services of which nothing was scraped for half of a stage or more, in words."""
    signal = platform.measuring("requests")
    if signal is None:
        return ()
    found = []
    for stage in stages:
        for service in table.services(signal.name):
            _, _, values = table.raw(signal.name, service, stage)
            if len(values) and float(np.isnan(values).mean()) >= _MUCH:
                found.append(f"patterns of {service} in {stage.name}: most of it could not be scraped")
    return tuple(found)
