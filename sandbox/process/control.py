"""Why: the sandbox's own door, apart from the APIs that it imitates: its clock, what it is, its end.

The levers by which the parts are told to misbehave are the parts' own, mounted beside these.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.connection import while_connected
from sandbox.process.activity import Activity
from sandbox.process.timekeeper import Timekeeper


class Reading(BaseModel):
    """What the clock shows; ``gameday.clock.RemoteClock`` reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    now: datetime
    mode: Literal["rehearsal", "live"]
    speed: float


class SleepRequest(BaseModel):
    """Until when a client sleeps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: AwareDatetime


def _reading(keeper: Timekeeper) -> Response:
    reading = Reading(now=keeper.world.now(), mode=keeper.mode, speed=keeper.speed)
    return Response(reading.model_dump_json(), media_type="application/json")


def clock_routes(keeper: Timekeeper) -> list[Route]:
    """``GET /clock`` reads it; ``POST /clock/sleep {"until": …}`` answers when that is reached."""

    async def read(_: Request) -> Response:
        return _reading(keeper)

    async def sleep(request: Request) -> Response:
        try:
            until = SleepRequest.model_validate_json(await request.body()).until
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"error": problems}, status_code=422)
        # A client that was killed in its sleep must not drag the world on to where it wanted to wake.
        await while_connected(request, keeper.sleep_until(until))
        return _reading(keeper)

    return [Route("/clock", read), Route("/clock/sleep", sleep, methods=["POST"])]


def process_routes(
    info: Callable[[], dict[str, Any]], activity: Activity, shut_down: Callable[[], None]
) -> list[Route]:
    """``GET /info`` says what runs here; ``POST /shutdown`` ends it."""

    async def tell(_: Request) -> Response:
        return JSONResponse({**info(), "requests": dict(activity.requests)})

    async def end(_: Request) -> Response:
        shut_down()
        return JSONResponse({"ending": True}, status_code=202)

    return [Route("/info", tell), Route("/shutdown", end, methods=["POST"])]
