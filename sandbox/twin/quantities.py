"""Why: Chaos Mesh's specs carry numbers as text: durations, percentages, sizes, rates.

Reads what Chaos Mesh accepts. Its webhook has judged them before, so what cannot be read counts as
nothing rather than as an error.
"""

from __future__ import annotations

import re
from typing import Any

import durationpy

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", re.IGNORECASE)
_RATE = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(bit|kbit|mbit|gbit|tbit|bps|kbps|mbps|gbps|tbps)?\s*", re.IGNORECASE
)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
MIB = 1024.0 * 1024.0


def seconds(text: Any) -> float:
    """A Go duration such as ``500ms`` or ``-10m``, in seconds."""
    try:
        return float(durationpy.from_str(str(text)).total_seconds()) if text else 0.0
    except (durationpy.DurationError, ValueError):
        return 0.0


def share(text: Any, default: float = 0.0) -> float:
    """A percentage such as ``"25"``, as a share of 1."""
    try:
        return min(1.0, max(0.0, float(text) / 100.0)) if text not in {None, ""} else default
    except ValueError:
        return default


def mebibytes(text: Any, whole: float) -> float:
    """A size such as ``512MB`` or ``1GiB``, or a percentage of ``whole``, in MiB."""
    written = str(text or "")
    if written.endswith("%"):
        return share(written[:-1]) * whole
    match = _SIZE.fullmatch(written)
    return float(match[1]) * 1024.0 ** _POWERS[match[2].upper()] / MIB if match else 0.0


def bytes_per_second(text: Any) -> float:
    """A rate as ``tc`` writes it: ``1mbps`` is a megabyte a second, ``1mbit`` an eighth of that."""
    match = _RATE.fullmatch(str(text or ""))
    if not match:
        return 0.0
    unit = (match[2] or "bit").lower()
    prefix = unit.removesuffix("bit").removesuffix("bps").upper()
    scale = 1000.0 ** _POWERS[prefix]
    return float(match[1]) * scale / (8.0 if unit.endswith("bit") else 1.0)
