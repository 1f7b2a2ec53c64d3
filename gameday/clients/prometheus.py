"""Why: a question to Prometheus has an answer, or a reason why not; it never fails and never guesses.

The client is synchronous, so it lives in a few threads of its own, with a short
timeout and our own retry policy (its defaults are no timeout and three patient retries). Whether a
value is good news is the monitor's to judge.
"""

from __future__ import annotations

import ast
import asyncio
import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util import Retry

from gameday.clients import alerts
from gameday.clients.answers import (
    NO_SERIES,
    RangeReading,
    Reading,
    Unknown,
    Why,
    joined,
    parted,
    reading,
)
from gameday.clients.answers import series as as_series
from gameday.clients.failures import shortened
from gameday.clients.loopback import is_loopback
from gameday.clock import Clock
from gameday.errors import UsageError
from gameday.settings import Settings
from gameday.spec.platform import Environment

LONGEST_TIMEOUT: Final = timedelta(seconds=5)
_THREADS = 8
_CONNECT_S = 1.5
# The client's timeout is one for each read: an answer that trickles in, or a question that waits for
# a thread, is given up this much later.
_GRACE_S = 0.5


class _InTheBody(requests.Session):
    """Sends parameters as a form: of an address, requests goes through every letter three times.

    Some servers, and proxies before them, also mind long addresses.
    """

    def request(self, method: str | bytes, url: str | bytes, **options: Any) -> requests.Response:  # type: ignore[override]  # no more is asked of it
        """POST ``url``, with ``params`` in the body, whatever ``method`` is."""
        options["data"] = options.pop("params", None)
        return super().request("POST", url, **options)


class Prometheus:
    """One Prometheus server. Its methods never raise for what the server does; they say ``Unknown``."""

    def __init__(self, url: str, *, clock: Clock, timeout: timedelta = LONGEST_TIMEOUT) -> None:
        """Ask the server at ``url``. ``timeout``, at most 5 s, is for one answer."""
        self.url = url.rstrip("/")
        self.timeout = min(timeout, LONGEST_TIMEOUT)
        self._clock = clock
        # A slow answer is not asked for again: the load that made it slow would only grow.
        retry = Retry(
            total=2,
            read=False,
            allowed_methods=None,  # whatever the method, a question changes nothing
            backoff_factor=0.1,
            backoff_jitter=0.1,
            status_forcelist=(502, 503, 504),
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        sessions = self._session, _ = requests.Session(), _InTheBody()
        for session in sessions:
            session.trust_env = not is_loopback(self.url)
        self._server, self._server_of_long = (
            PrometheusConnect(self.url, retry=retry, session=session) for session in sessions
        )
        self._too_slow_together = False
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="prometheus")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; what is still asked is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._server.close()
        self._server_of_long.close()

    async def instant(self, query: str, at: datetime | None = None) -> Reading:
        """Ask for the values at ``at`` (None: now, by the server's own clock)."""
        return await self._instant(self._server, query, at)

    async def _instant(self, server: PrometheusConnect, query: str, at: datetime | None = None) -> Reading:
        params = {"time": f"{at.timestamp():.3f}"} if at else {}
        answer = await self._ask(lambda seconds: server.custom_query(query, params, timeout=seconds))
        if isinstance(answer, Unknown):
            return Reading(query, failure=answer)
        try:
            return reading(query, answer)
        except _NOT_READABLE:
            return Reading(query, failure=_STRANGE)

    async def instants(self, queries: Iterable[str]) -> dict[str, Reading]:
        """Ask for the values of several queries now, each with an answer of its own.

        Asked as one question where Prometheus takes it: one call, all of one moment. Where it refuses
        that, each is asked by itself, so that a bad query spoils no other. Where that took too long,
        this answer is a timeout, and from then on each is asked by itself.
        """
        wanted = list(dict.fromkeys(queries))
        if len(wanted) > 1 and not self._too_slow_together:
            answer = await self._instant(self._server_of_long, joined(wanted))
            why = answer.failure.reason if answer.failure else None
            self._too_slow_together = why is Why.TIMEOUT
            if why is not Why.ERROR:
                return parted(wanted, answer)
        answers = await asyncio.gather(*(self.instant(query) for query in wanted))
        return dict(zip(wanted, answers, strict=True))

    async def range(self, query: str, start: datetime, end: datetime, step: timedelta) -> RangeReading:
        """Ask for the values from ``start`` to ``end``, both rounded to seconds, every ``step``."""
        width = f"{step.total_seconds():g}"
        answer = await self._ask(
            lambda seconds: self._server.custom_query_range(query, start, end, width, timeout=seconds)
        )
        if isinstance(answer, Unknown):
            return RangeReading(query, failure=answer)
        try:
            series = tuple(as_series(one) for one in answer)
        except _NOT_READABLE:
            return RangeReading(query, failure=_STRANGE)
        if not any(one.points or one.infinite for one in series):
            detail = "no series has a value in that time" if series else NO_SERIES
            return RangeReading(query, series, Unknown(Why.NAN if series else Why.EMPTY, detail))
        return RangeReading(query, series)

    async def freshness(self, job: str) -> timedelta | Unknown:
        """How old the newest scrape of ``job`` is, by the clock; never below zero.

        An instant query shows the last value for five minutes after scraping has stopped. This
        tells when that is the case.
        """
        return self.age(job, await self.instant(newest_scrape(job)))

    def age(self, job: str, answer: Reading) -> timedelta | Unknown:
        """The same, from the answer to ``newest_scrape``."""
        newest = answer.single()
        if isinstance(newest, Unknown):
            if newest.reason is Why.EMPTY or (answer.failure is None and not answer.measurements):
                return Unknown(
                    Why.EMPTY, f"no target of the job {job!r} was scraped in the last five minutes"
                )
            return newest
        if not math.isfinite(newest.value):
            return Unknown(Why.NAN, f"the newest scrape is at {newest.value:g}")
        scraped = datetime.fromtimestamp(newest.value, UTC)
        return max(self._clock.now() - scraped, timedelta(0))

    async def targets(self, job: str) -> Reading:
        """The targets of ``job``: 1 where the last scrape succeeded, 0 where it did not."""
        return await self.instant(f"up{{job={_quoted(job)}}}")

    async def alerts(self) -> tuple[alerts.Alert, ...] | Unknown:
        """Every alert that is pending or firing now."""
        answer = await self._ask(lambda seconds: alerts.ask(self._session, self.url, seconds))
        if isinstance(answer, Unknown):
            return answer
        try:
            return alerts.read(answer)
        except _NOT_READABLE:
            return _STRANGE

    async def alert_rules(self) -> frozenset[str] | Unknown:
        """The names of every alert that it could raise."""
        answer = await self._ask(lambda seconds: alerts.ask_rules(self._session, self.url, seconds))
        if isinstance(answer, Unknown):
            return answer
        try:
            return alerts.names(answer)
        except _NOT_READABLE:
            return _STRANGE

    async def check(self) -> Unknown | None:
        """Why the server cannot be asked, or None where it can."""
        answered = (await self.instant("vector(1)")).single()
        return answered if isinstance(answered, Unknown) else None

    async def _ask(self, question: Callable[[Any], Any]) -> list[Any] | Unknown:
        seconds = self.timeout.total_seconds()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds + _GRACE_S):
                return await loop.run_in_executor(self._threads, lambda: _answered(question, seconds))
        except TimeoutError:
            return Unknown(Why.TIMEOUT, f"{self.url} did not answer within {seconds:g} s")


def newest_scrape(job: str) -> str:
    """The query for the time of the newest scrape of ``job``; ``Prometheus.age`` reads its answer."""
    return f"max(timestamp(up{{job={_quoted(job)}}}))"


def prometheus_url(settings: Settings, environment: Environment) -> str:
    """Where this environment's Prometheus is. Raises ``UsageError`` where nobody said."""
    url = environment.prometheus_url or settings.prometheus_url
    if url is None:
        raise UsageError(
            f"No Prometheus is known for {environment.name}",
            hint="Set GAMEDAY_PROMETHEUS_URL, or prometheusUrl of the environment in platform.yaml; "
            "or try --sandbox.",
        )
    return url


# What reading an answer raises that some other server sent, or a broken one.
_NOT_READABLE: Final = (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError)
_STRANGE: Final = Unknown(Why.ERROR, "the answer is not what Prometheus would send")


def _answered(question: Callable[[Any], Any], seconds: float) -> list[Any] | Unknown:
    try:
        answer = question((min(_CONNECT_S, seconds), seconds))
    except requests.Timeout:
        return Unknown(Why.TIMEOUT, f"no answer within {seconds:g} s")
    except PrometheusApiClientException as error:
        return Unknown(Why.ERROR, _told(str(error)))
    except (requests.RequestException, *_NOT_READABLE) as error:
        return Unknown(Why.ERROR, shortened(f"{type(error).__name__}: {error}", 200))
    if not isinstance(answer, list):
        return _STRANGE
    return answer


def _told(text: str) -> str:
    """The server's own words out of the client's ``HTTP Status Code 400 (b'{…}')``."""
    head, _, body = text.partition("(")
    try:
        told = json.loads(ast.literal_eval(body.removesuffix(")")))["error"]
    except (ValueError, SyntaxError, KeyError, TypeError):
        return shortened(text, 200)
    return shortened(f"{head.strip()}: {told}", 200)


def _quoted(text: str) -> str:
    return json.dumps(text)
