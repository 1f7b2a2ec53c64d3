"""Why: a pod exposes the same series again and again, so only their values need to travel.

``Exposition`` is a sequence of ``wiring.Sample`` like any other, but keeps names and labels
(``Layout``) apart from the values: the scraper recognises a layout that it has seen and appends
the values without looking at a label. Others may hand the scraper plain samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import overload

from sandbox.wiring import Sample

Layout = tuple[tuple[str, Mapping[str, str]], ...]


class Exposition(Sequence[Sample]):
    """The samples of one scrape: the ``layout`` says what they are, ``values`` how much."""

    __slots__ = ("layout", "values")

    def __init__(self, layout: Layout, values: Sequence[float]) -> None:
        """Raises ``ValueError`` where the two do not have the same length."""
        if len(layout) != len(values):
            raise ValueError(f"{len(values)} values for {len(layout)} series.")
        self.layout = layout
        self.values = values

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Exposition:
        """The same samples, taken apart."""
        listed = list(samples)
        return cls(tuple((s.name, s.labels) for s in listed), [s.value for s in listed])

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """The samples at ``index``."""
        if isinstance(index, slice):
            return Exposition(self.layout[index], self.values[index])
        name, labels = self.layout[index]
        return Sample(name, labels, self.values[index])
