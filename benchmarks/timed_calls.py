"""Why: it must be known where the time of a run goes, without a line for it in the product.

Run as ``python timed_calls.py RESULT.json ARGUMENT...``, it is the command ``gameday ARGUMENT...``
with a stop-watch on what everything outside is reached through: httpx (Prefect), aiohttp (Kubernetes,
Slack), requests (Prometheus) and the line to the clock. It writes how often each
system was called, how often it answered with a server's error (Prefect on SQLite does, and its client
then waits two seconds), how long the calls took together, and during how much of the wall time at
least one of them was under way.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_SYSTEMS: Final = {
    "/control/clock": "clock (the sandbox's world advances)",
    "/prometheus": "Prometheus",
    "/kubernetes": "Kubernetes",
    "/slack": "Slack",
    "/api/": "Prefect",
}
_BEGAN: Final = time.perf_counter()

_Interval = tuple[float, float]
_calls: dict[str, list[_Interval]] = {}
_errors: Counter[str] = Counter()


def _system(url: object) -> str:
    path = urlsplit(str(url)).path
    return next((name for start, name in _SYSTEMS.items() if path.startswith(start)), "other")


def _note(url: object, began: float, answer: Any) -> None:
    system = _system(url)
    _calls.setdefault(system, []).append((began, time.perf_counter()))
    status: int = getattr(answer, "status_code", 0) or getattr(answer, "status", 0)
    _errors[system] += status >= 500


def _timed(call: Callable[..., Awaitable[Any]], url_of: Callable[..., object]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def timed(*arguments: Any, **options: Any) -> Any:
        began, answer = time.perf_counter(), None
        try:
            answer = await call(*arguments, **options)
            return answer
        finally:
            _note(url_of(*arguments), began, answer)

    return timed


def _timed_in_thread(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def timed(session: Any, request: Any, **options: Any) -> Any:
        began, answer = time.perf_counter(), None
        try:
            answer = call(session, request, **options)
            return answer
        finally:
            _note(request.url, began, answer)

    return timed


def _watch_libraries() -> None:
    import aiohttp  # noqa: PLC0415 - its import is part of what is measured
    import httpx  # noqa: PLC0415 - as above
    import requests  # noqa: PLC0415 - as above

    from gameday.line import Line  # noqa: PLC0415 - as above

    libraries: Any = httpx.AsyncClient, aiohttp.ClientSession, requests.Session, Line
    of_httpx, of_aiohttp, of_requests, line = libraries
    line.ask = _timed(line.ask, lambda this, *_: this.url)
    of_httpx.send = _timed(of_httpx.send, lambda _, request: request.url)
    of_aiohttp._request = _timed(of_aiohttp._request, lambda _, method, url: url)
    of_requests.send = _timed_in_thread(of_requests.send)


def _covered(intervals: list[_Interval]) -> float:
    """Seconds in which at least one of the intervals was under way."""
    total, end = 0.0, 0.0
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _summary(ended: float) -> dict[str, Any]:
    everything = [interval for intervals in _calls.values() for interval in intervals]
    return {
        "wall": ended - _BEGAN,
        "before_first_call": min((start for start, _ in everything), default=ended) - _BEGAN,
        "after_last_call": ended - max((stop for _, stop in everything), default=ended),
        "covered": _covered(everything),
        "systems": {
            name: {
                "calls": len(intervals),
                "errors": _errors[name],
                "together": sum(stop - start for start, stop in intervals),
                "covered": _covered(intervals),
            }
            for name, intervals in _calls.items()
        },
    }


def main() -> None:
    result, arguments = Path(sys.argv[1]), sys.argv[2:]
    _watch_libraries()
    from gameday.cli.main import run  # noqa: PLC0415 - its import is part of what is measured

    code = run(arguments)
    result.write_text(json.dumps(_summary(time.perf_counter())))
    sys.exit(code)


if __name__ == "__main__":
    main()
