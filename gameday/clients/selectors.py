"""Why: label selectors are written in one place, in the syntax of the API server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# A label selector in the API server's own syntax, or labels that must all be equal.
Labels = str | Mapping[str, str]


def selector(labels: Labels) -> str:
    """``labels`` as the API server wants them; "" selects everything."""
    if isinstance(labels, str):
        return labels
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def any_of(key: str, values: Iterable[str]) -> str:
    """Objects whose label ``key`` has one of ``values``."""
    return f"{key} in ({','.join(sorted(values))})"
