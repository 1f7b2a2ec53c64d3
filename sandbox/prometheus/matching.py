"""Why: selectors, ``/series`` and ``absent`` all judge labels by the same four operators.

Regular expressions are anchored, as Prometheus's are. Go's RE2 and Python's ``re`` agree on what
people write in PromQL; Python's look-arounds and back references would be accepted here and refused there.
"""

from __future__ import annotations

import re
from typing import Literal

from sandbox.prometheus.labels import Labels

Operator = Literal["=", "!=", "=~", "!~"]


class Matcher:
    """One condition on one label, such as ``status=~"5.."``."""

    __slots__ = ("_pattern", "_verdicts", "name", "op", "value")

    def __init__(self, name: str, op: Operator, value: str) -> None:
        """Raises ``re.error`` where ``value`` is no regular expression and ``op`` needs one."""
        self.name = name
        self.op = op
        self.value = value
        self._pattern = re.compile(value) if op in {"=~", "!~"} else None
        self._verdicts: dict[str, bool] = {}

    def matches(self, labels: Labels) -> bool:
        """Whether ``labels`` satisfy the condition; a label that is not set counts as empty."""
        value = labels.get(self.name)
        if self._pattern is None:
            return (value == self.value) == (self.op == "=")
        verdict = self._verdicts.get(value)
        if verdict is None:
            verdict = (self._pattern.fullmatch(value) is not None) == (self.op == "=~")
            self._verdicts[value] = verdict
        return verdict

    @property
    def matches_empty(self) -> bool:
        """Whether a series without this label satisfies it."""
        if self._pattern is None:
            return (self.value == "") == (self.op == "=")
        return (self._pattern.fullmatch("") is not None) == (self.op == "=~")
