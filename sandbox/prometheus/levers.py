"""Why: a run must tell no data from good data, so this Prometheus loses, delays and refuses on demand.

Holds what is wrong at the moment and how often Prometheus was asked. ``api`` asks before it
answers; the scraper asks before it scrapes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from gameday.spec.base import Duration, Model

Mode = Literal["normal", "empty", "stale", "slow", "failing", "gone"]


class PrometheusFault(Model):
    """What is wrong with Prometheus.

    ``empty`` answers every query with no result; ``stale`` scrapes nothing, so that samples age;
    ``slow`` answers after ``delay`` of real time; ``failing`` answers the HTTP ``status``;
    ``gone`` breaks the connection off in the middle of an answer.
    """

    mode: Mode = "normal"
    delay: Duration = timedelta(seconds=10)
    status: Annotated[int, Field(ge=400, le=599)] = 503
    times: Annotated[int, Field(ge=1, description="how many requests it concerns; unset: all")] | None = None


class Levers:
    """The fault in force, and the count of what was asked."""

    def __init__(self) -> None:
        """Begin with a Prometheus that works."""
        self._fault = PrometheusFault()
        self._left: int | None = None
        self._changed = asyncio.Event()
        self.queries: Counter[str] = Counter()

    @property
    def fault(self) -> PrometheusFault:
        """What is wrong now."""
        return self._fault

    @property
    def scraping(self) -> bool:
        """Whether targets are scraped."""
        return self._fault.mode != "stale"

    def set(self, fault: PrometheusFault) -> None:
        """From now on, ``fault`` and no other; answers that were slow come at once."""
        self._fault = fault
        self._left = fault.times
        self._changed.set()
        self._changed = asyncio.Event()

    def strike(self) -> PrometheusFault:
        """The fault that hits this request; counts it against ``times``."""
        fault = self._fault
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._fault, self._left = PrometheusFault(), None
        return fault

    async def wait(self, delay: timedelta) -> None:
        """Return after ``delay`` of real time, or when the levers are next moved."""
        try:
            await asyncio.wait_for(self._changed.wait(), delay.total_seconds())
        except TimeoutError:
            return

    def router(self) -> Router:
        """``GET`` the state, ``PUT`` a fault, ``DELETE`` it again."""
        return Router([Route("/", self._serve, methods=["GET", "PUT", "DELETE"])])

    async def _serve(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self.set(PrometheusFault.model_validate_json(await request.body()))
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                return JSONResponse({"error": problems}, status_code=422)
        elif request.method == "DELETE":
            self.set(PrometheusFault())
        state = self._fault.model_dump(mode="json", by_alias=True)
        return JSONResponse({**state, "queries": {"total": self.queries.total(), **self.queries}})
