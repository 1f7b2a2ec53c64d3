"""Why: most of a query's time goes into comparing label sets, so equal sets are one object here.

A ``Labels`` is immutable and interned: equality is identity, and what a query derives from it
(without its name, only some labels) is computed once. It knows nothing of series or of PromQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from weakref import WeakValueDictionary

NAME = "__name__"

Pairs = tuple[tuple[str, str], ...]

_interned: WeakValueDictionary[Pairs, Labels] = WeakValueDictionary()


class Labels:
    """An immutable set of labels. Make one with ``Labels.of``; compare them with ``is`` or ``==``."""

    __slots__ = ("__weakref__", "_derived", "_nameless", "mapping", "pairs")

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.mapping = dict(pairs)
        self._nameless: Labels | None = None
        self._derived: dict[tuple[bool, tuple[str, ...]], Labels] = {}

    @staticmethod
    def of(labels: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
        """The one object for these labels; an empty value is the same as no label."""
        pairs = labels.items() if isinstance(labels, Mapping) else labels
        key = tuple(sorted((name, value) for name, value in pairs if value))
        found = _interned.get(key)
        if found is None:
            found = _interned[key] = Labels(key)
        return found

    def get(self, name: str) -> str:
        """The value of the label ``name``; empty where it is not set."""
        return self.mapping.get(name, "")

    def nameless(self) -> Labels:
        """These labels without the metric's name."""
        if self._nameless is None:
            self._nameless = Labels.of(pair for pair in self.pairs if pair[0] != NAME)
        return self._nameless

    def only(self, names: tuple[str, ...]) -> Labels:
        """These labels, those in ``names`` alone."""
        found = self._derived.get((True, names))
        if found is None:
            found = Labels.of(pair for pair in self.pairs if pair[0] in names)
            self._derived[True, names] = found
        return found

    def without(self, names: tuple[str, ...]) -> Labels:
        """These labels, without the metric's name and those in ``names``."""
        found = self._derived.get((False, names))
        if found is None:
            found = Labels.of(pair for pair in self.pairs if pair[0] not in names and pair[0] != NAME)
            self._derived[False, names] = found
        return found

    def replace(self, changes: Mapping[str, str]) -> Labels:
        """These labels with ``changes`` applied; an empty value removes a label."""
        return Labels.of({**self.mapping, **changes})

    def __repr__(self) -> str:
        """As Prometheus writes label sets in its messages: ``up{job="x"}``."""
        inner = ", ".join(f'{name}="{value}"' for name, value in self.pairs if name != NAME)
        return f"{self.get(NAME)}{{{inner}}}"


EMPTY = Labels.of(())
