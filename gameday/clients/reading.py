"""Why: what a cluster hands us is read as far as it can be, whatever it is.

A thing that has not the expected type reads as an empty one of that type. What follows from its
being empty is for the reader: nothing is ever proved by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` where it is a JSON object."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """``value`` where it is a JSON list."""
    return value if isinstance(value, list | tuple) else ()


def text(value: object) -> str:
    """``value`` where it is text."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> dict[str, str]:
    """Those entries of the JSON object ``value`` whose values are text."""
    return {key: one for key, one in mapping(value).items() if isinstance(one, str)}


def count(value: object) -> int:
    """``value`` where it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
