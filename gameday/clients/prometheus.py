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
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util import Retry

from gameday.clients import alerts
from gameday.clients.failures import shortened
from gameday.clients.loopback import is_loopback
from gameday.clock import Clock
from gameday.errors import UsageError
from gameday.settings import Settings
from gameday.spec.platform import Environment

LONGEST_TIMEOUT: Final = timedelta(seconds=5)
_THREADS = 8
_CONNECT_S = 1.5
# Tells the answers to several questions apart that were asked as one.
_NUMBER = "gameday_question"
_NO_SERIES = "Prometheus has no such series"
# The client's timeout is one for each read: an answer that trickles in, or a question that waits for
# a thread, is given up this much later.
_GRACE_S = 0.5


class Why(StrEnum):
    """Why a value is unknown."""

    EMPTY = "empty"
    STALE = "stale"
    NAN = "nan"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Unknown:
    """No value, and why. Never good news."""

    reason: Why
    detail: str

    def __str__(self) -> str:
        return f"unknown ({self.reason}): {self.detail}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one series."""

    labels: Mapping[str, str]
    value: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A series that is there, but has no usable value."""

    labels: Mapping[str, str]
    unknown: Unknown


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to an instant query: a value or the reason why not, series by series.

    ``failure`` is set where the question as a whole has no answer; there are no series then.
    """

    query: str
    measurements: tuple[Measurement, ...] = ()
    gaps: tuple[Gap, ...] = ()
    failure: Unknown | None = None

    def by(self, label: str, expected: Iterable[str] = ()) -> dict[str, Measurement | Unknown]:
        """By value of ``label``: its measurement, or why there is none.

        Each of ``expected`` has an entry, whatever came. Series without the label stand under "".
        Several series of one value cannot be one answer: that is an error of the query, not a choice.
        """
        missing = self.failure or Unknown(Why.EMPTY, _NO_SERIES)
        found: dict[str, Measurement | Unknown] = dict.fromkeys(expected, missing)
        found |= {gap.labels.get(label, ""): gap.unknown for gap in self.gaps}
        found |= {one.labels.get(label, ""): one for one in self.measurements}
        named = [*(one.labels for one in self.measurements), *(gap.labels for gap in self.gaps)]
        counts = Counter(labels.get(label, "") for labels in named)
        for value in (value for value, count in counts.items() if count > 1):
            detail = f"{counts[value]} series for {label}={value!r}; aggregate the query by ({label})"
            found[value] = Unknown(Why.ERROR, detail)
        return found

    def single(self) -> Measurement | Unknown:
        """The only value of a query that yields one; where there are more, that is an error."""
        if self.failure is not None:
            return self.failure
        series: list[Measurement | Unknown] = [*self.measurements, *(gap.unknown for gap in self.gaps)]
        if len(series) != 1:
            return Unknown(Why.ERROR, f"expected one series, found {len(series)}")
        return series[0]

    def outdated(self, age: timedelta | Unknown, limit: timedelta) -> Self | Reading:
        """The same, or nothing but the reason where the data behind it is older than ``limit``."""
        if self.failure is not None:
            return self
        if isinstance(age, Unknown):
            return Reading(self.query, failure=age)
        if age <= limit:
            return self
        seconds, most = age.total_seconds(), limit.total_seconds()
        detail = f"the newest scrape is {seconds:.0f} s old, {most:.0f} s is the limit"
        return Reading(self.query, failure=Unknown(Why.STALE, detail))


@dataclass(frozen=True, slots=True)
class Series:
    """One series over time. Points without a usable value are left out and counted in ``gaps``.

    Infinite ones, such as a P95 beyond the last bucket, are counted there and kept apart.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]
    gaps: int = 0
    infinite: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RangeReading:
    """The answer to a range query; ``failure`` is set where there is none."""

    query: str
    series: tuple[Series, ...] = ()
    failure: Unknown | None = None


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
            return _reading(query, answer)
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
            answer = await self._instant(self._server_of_long, _joined(wanted))
            why = answer.failure.reason if answer.failure else None
            self._too_slow_together = why is Why.TIMEOUT
            if why is not Why.ERROR:
                return _parted(wanted, answer)
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
            series = tuple(_series(one) for one in answer)
        except _NOT_READABLE:
            return RangeReading(query, failure=_STRANGE)
        if not any(one.points for one in series):
            detail = "no series has a value in that time" if series else _NO_SERIES
            return RangeReading(query, series, Unknown(Why.NAN if series else Why.EMPTY, detail))
        return RangeReading(query, series)

    async def freshness(self, job: str) -> timedelta | Unknown:
        """How old the newest scrape of ``job`` is, by the clock; never below zero.

        An instant query shows the last value for five minutes after scraping has stopped. This
        tells when that is the case.
        """
        return self.age(job, await self.instant(newest_scrape(job)))

    def age(self, job: str, reading: Reading) -> timedelta | Unknown:
        """The same, from the answer to ``newest_scrape``."""
        newest = reading.single()
        if isinstance(newest, Unknown):
            if newest.reason is Why.EMPTY or (reading.failure is None and not reading.measurements):
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


def _joined(queries: Iterable[str]) -> str:
    """One question whose series say to which of ``queries`` they are the answer."""
    # A line of its own for each bracket: a query may end with a comment.
    return " or ".join(
        f'label_replace((\n{query}\n), "{_NUMBER}", "{number}", "", "")'
        for number, query in enumerate(queries)
    )


def _parted(queries: Iterable[str], answer: Reading) -> dict[str, Reading]:
    """The answer to each of ``queries``, out of the one to all of them."""
    return {query: _part(query, str(number), answer) for number, query in enumerate(queries)}


def _part(query: str, number: str, answer: Reading) -> Reading:
    measurements = tuple(
        replace(one, labels=_own(one.labels))
        for one in answer.measurements
        if one.labels.get(_NUMBER) == number
    )
    gaps = tuple(
        replace(one, labels=_own(one.labels)) for one in answer.gaps if one.labels.get(_NUMBER) == number
    )
    failure = answer.failure
    if failure is None and not measurements and not gaps:
        failure = Unknown(Why.EMPTY, _NO_SERIES)
    return Reading(query, measurements, gaps, failure)


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != _NUMBER}


def _reading(query: str, answer: list[Any]) -> Reading:
    if _is_scalar(answer):
        answer = [{"metric": {}, "value": answer}]
    measurements, gaps = [], []
    for item in answer:
        labels = dict(item.get("metric") or {})
        moment, text = item.get("value") or (0.0, "NaN")  # a native histogram has no value
        value = float(text)
        if math.isnan(value):
            gaps.append(
                Gap(labels, Unknown(Why.NAN, f"the value is {text}: there was nothing to compute it from"))
            )
        else:  # infinite ones too: beyond the last bucket is past every limit, not unknown
            measurements.append(Measurement(labels, value, datetime.fromtimestamp(moment, UTC)))
    if not measurements and not gaps:
        return Reading(query, failure=Unknown(Why.EMPTY, _NO_SERIES))
    return Reading(query, tuple(measurements), tuple(gaps))


def _series(item: Mapping[str, Any]) -> Series:
    raw = [(datetime.fromtimestamp(moment, UTC), float(text)) for moment, text in item.get("values") or ()]
    points = tuple(point for point in raw if math.isfinite(point[1]))
    infinite = tuple(point for point in raw if math.isinf(point[1]))
    return Series(dict(item.get("metric") or {}), points, len(raw) - len(points), infinite)


def _is_scalar(answer: list[Any]) -> bool:
    return len(answer) == 2 and isinstance(answer[1], str)


def _quoted(text: str) -> str:
    return json.dumps(text)
