"""Why: times and durations come in several notations, and a wrong one is refused in Prometheus's words.

Reads the parameters of ``/api/v1``. Times are milliseconds since the Unix epoch here, seconds or
RFC 3339 on the wire.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import promql_parser
from starlette.requests import Request

from sandbox.prometheus.matching import Matcher
from sandbox.prometheus.promql.compiler import matchers_of, parse
from sandbox.prometheus.promql.errors import BadDataError, bad_parameter

_MAX_POINTS = 11_000
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


class Parameters:
    """The parameters of one request, from its query string and, of a POST, its form."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    @classmethod
    async def of(cls, request: Request) -> Parameters:
        """Read them from ``request``."""
        pairs = list(request.query_params.multi_items())
        if request.method == "POST":
            # Not request.form(): that needs python-multipart, and only urlencoded bodies come here.
            pairs += parse_qsl((await request.body()).decode(), keep_blank_values=True)
        return cls(pairs)

    def get(self, name: str) -> str:
        """The first value of ``name``; empty where it is not given."""
        return next((value for given, value in self._pairs if given == name), "")

    def time(self, name: str, default: int | None = None) -> int:
        """The moment ``name``, in ms. Raises ``BadDataError``."""
        text = self.get(name)
        if not text and default is not None:
            return default
        moment = _moment(text)
        if moment is None:
            raise bad_parameter(
                name, f"Invalid time value for '{name}': cannot parse \"{text}\" to a valid timestamp"
            )
        return moment

    def step(self) -> int:
        """The parameter ``step``, in ms. Raises ``BadDataError``."""
        step = _duration("step", self.get("step"))
        if step <= 0:
            raise bad_parameter(
                "step",
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            )
        return step

    def range(self) -> tuple[int, int, int]:
        """The parameters ``start``, ``end`` and ``step``, in ms. Raises ``BadDataError``."""
        start, end = self._bound("start"), self._bound("end")
        if end < start:
            raise bad_parameter("end", "end timestamp must not be before start time")
        step = self.step()
        if (end - start) // step > _MAX_POINTS:
            raise BadDataError(
                "exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )
        return start, end, step

    def _bound(self, name: str) -> int:
        moment = _moment(self.get(name))
        if moment is None:
            raise bad_parameter(name, f'cannot parse "{self.get(name)}" to a valid timestamp')
        return moment

    def check_timeout(self) -> None:
        """Raise ``BadDataError`` where ``timeout`` is given and no duration; no query here takes long."""
        if self.get("timeout"):
            _duration("timeout", self.get("timeout"))

    def selectors(self, *, required: bool) -> list[tuple[Matcher, ...]]:
        """The parameters ``match[]``. Raises ``BadDataError``."""
        given = [value for name, value in self._pairs if name == "match[]"]
        if required and not given:
            raise BadDataError("no match[] parameter provided")
        found = []
        for text in given:
            if re.fullmatch(r"\s*\{\s*\}\s*", text):
                raise bad_parameter("match[]", "match[] must contain at least one non-empty matcher")
            parsed = parse(text, "match[]")
            if not isinstance(parsed, promql_parser.VectorSelector):
                raise bad_parameter("match[]", f'1:1: parse error: unexpected "{text}"')
            found.append(matchers_of(parsed, "match[]"))
        return found


def _moment(text: str) -> int | None:
    try:
        seconds = float(text)
    except ValueError:
        if not _RFC3339.fullmatch(text):
            return None
        return round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    return round(seconds * 1000) if math.isfinite(seconds) else None


def _duration(name: str, text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        try:
            return promql_parser.parse_duration(text) // timedelta(milliseconds=1)
        except ValueError:
            seconds = math.nan
    if not math.isfinite(seconds):
        raise bad_parameter(name, f'cannot parse "{text}" to a valid duration')
    return round(seconds * 1000)
