"""Why: reports link to Grafana, and whoever looks at a dashboard there must see what was broken when.

Its HTTP API, as much of it as that needs; Grafana has no client of its own for Python. What an
annotation says, and when one is written, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from gameday.clients.failures import shortened
from gameday.clients.reading import mapping, sequence, text
from gameday.errors import NotAllowedError, NotFoundError, OutsideError, RejectedError, UnreachableError
from gameday.settings import Settings
from gameday.spec.platform import Platform

SYSTEM: Final = "Grafana"

CHAOS: Final = "chaos"
"""The tag that every annotation of a fault has; by it the dashboards find them."""

_WRITING: Final = ("annotations:create", "annotations:write", "annotations:read")
# Each of them covers annotations that belong to no dashboard.
_SCOPES: Final = frozenset({"*", "annotations:*", "annotations:type:*", "annotations:type:organization"})
# Grafana refuses an annotation whose tags are longer than this, all together and written as JSON.
_MOST_OF_TAGS: Final = 500
_MOST_FOUND: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_READ_HINT: Final = "Set GAMEDAY_GRAFANA_TOKEN to a service account's token that may read dashboards."
WRITE_HINT: Final = (
    "Set GAMEDAY_GRAFANA_TOKEN to the token of a service account with the role Editor, "
    "or with fixed:annotations:writer and fixed:annotations:reader."
)
"""What to do where annotations may not be written."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where Grafana is, and as whom it is spoken to; each call takes at most ``timeout``."""

    url: str
    token: str = field(repr=False)
    timeout: timedelta


def access(settings: Settings, platform: Platform) -> Access | None:
    """The Grafana that ``platform`` declares; None where it declares none."""
    if platform.grafana is None:
        return None
    token = settings.grafana_token.get_secret_value() if settings.grafana_token else ""
    return Access(platform.grafana.url, token, settings.grafana_timeout)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is marked on every dashboard that asks for one of ``tags``: a moment, or a time with its ``end``.

    ``text`` is HTML, of which Grafana shows what is harmless.
    """

    time: datetime
    text: str
    tags: tuple[str, ...]
    end: datetime | None = None
    id: int = 0  # Grafana's, once it has it

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Self:
        """One of those that Grafana lists. Raises ``ValueError`` or ``TypeError`` where it is none."""
        begin, end = int(item["time"]), int(item.get("timeEnd") or 0)
        return cls(
            time=_moment(begin),
            text=str(item.get("text") or ""),
            tags=tuple(map(str, item.get("tags") or ())),
            # A moment is kept as a time that ends when it begins.
            end=_moment(end) if end > begin else None,
            id=int(item["id"]),
        )


class Grafana:
    """One Grafana. All methods raise an ``OutsideError`` where they fail, and repeat nothing."""

    def __init__(self, client: httpx.AsyncClient, timeout: timedelta) -> None:
        """Speak through ``client``; ``connect`` is the usual way in."""
        self._client = client
        self._timeout_s = timeout.total_seconds()

    @classmethod
    @asynccontextmanager
    async def connect(cls, where: Access) -> AsyncIterator[Self]:
        """Speak to the Grafana at ``where``. Raises ``UnreachableError`` where that is no address."""
        try:
            client = httpx.AsyncClient(
                base_url=where.url.rstrip("/"),
                headers={"Authorization": f"Bearer {where.token}"} if where.token else {},
                timeout=where.timeout.total_seconds(),
            )
        except (httpx.InvalidURL, ValueError) as error:
            words = f"cannot be asked at {where.url}: {error}"
            raise UnreachableError(SYSTEM, words, hint="Correct `grafana.url` of platform.yaml.") from error
        async with client:
            yield cls(client, where.timeout)

    async def version(self) -> str:
        """Its version, such as ``12.1.0``."""
        answer = await self._object("GET", "/api/health", "ask for its health")
        return str(answer.get("version", "unknown version"))

    async def dashboard_title(self, uid: str) -> str:
        """The title of the dashboard ``uid``. Raises ``NotFoundError``."""
        answer = await self._object("GET", f"/api/dashboards/uid/{quote(uid)}", f"read the dashboard {uid}")
        return text(mapping(answer.get("dashboard")).get("title")) or uid

    async def may_annotate(self) -> bool:
        """Whether the token may write annotations, find them and end them.

        Raises ``NotFoundError`` where this Grafana does not tell: it is older than 9.
        """
        path = "/api/access-control/user/permissions"
        rights = await self._object("GET", path, "ask what the token may do")
        return all(_SCOPES.intersection(map(text, sequence(rights.get(action)))) for action in _WRITING)

    async def annotate(self, annotation: Annotation) -> int:
        """Write an annotation that belongs to no dashboard. Answers with its id."""
        content: dict[str, Any] = {
            "time": _milliseconds(annotation.time),
            "tags": fitting(annotation.tags),
            "text": annotation.text,
        }
        if annotation.end is not None:
            content["timeEnd"] = _milliseconds(annotation.end)
        doing = "write an annotation"
        answer = await self._object("POST", "/api/annotations", doing, content, hint=WRITE_HINT)
        if not isinstance(found := answer.get("id"), int):
            raise UnreachableError(SYSTEM, f"could not {doing}: its answer names no annotation")
        return found

    async def end_annotation(self, number: int, end: datetime, *, text: str = "") -> None:
        """Let the annotation ``number`` last until ``end``; ``text`` is put in the place of its own."""
        content = {"timeEnd": _milliseconds(end), **({"text": text} if text else {})}
        doing = f"end the annotation {number}"
        await self._ask("PATCH", f"/api/annotations/{number}", doing, content, hint=WRITE_HINT)

    async def annotations(self, *tags: str) -> list[Annotation]:
        """Every annotation that has all of ``tags``."""
        query = httpx.QueryParams({"limit": _MOST_FOUND, "type": "annotation", "tags": tags})
        doing = "list annotations"
        found = await self._ask("GET", f"/api/annotations?{query}", doing, hint=WRITE_HINT)
        try:
            return [Annotation.read(one) for one in found]
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UnreachableError(SYSTEM, f"could not {doing}: its answer is none of Grafana's") from error

    async def _object(
        self, method: str, path: str, doing: str, content: object = None, *, hint: str = _READ_HINT
    ) -> Mapping[str, Any]:
        found = await self._ask(method, path, doing, content, hint=hint)
        if not isinstance(found, Mapping):
            raise UnreachableError(SYSTEM, f"could not {doing}: its answer is none of Grafana's")
        return found

    async def _ask(
        self, method: str, path: str, doing: str, content: object = None, *, hint: str = _READ_HINT
    ) -> Any:
        try:
            # httpx counts for each read anew: who answers a byte at a time would never be given up.
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.request(method, path, json=content)
            found = answer.json() if answer.is_success else None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            raise UnreachableError(
                SYSTEM,
                f"could not {doing}: {self._words(error)}",
                hint=f"Is {self._client.base_url} its address? `grafana.url` of platform.yaml names it.",
            ) from error
        if not answer.is_success:
            raise _refused(answer, doing, hint)
        return found

    def _words(self, error: Exception) -> str:
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            return f"no answer within {self._timeout_s:g} s"
        return shortened(str(error) or type(error).__name__, 200)


def _refused(answer: httpx.Response, doing: str, hint: str) -> OutsideError:
    status = answer.status_code
    words = f"could not {doing}: it answered {status}"
    if status in {401, 403}:
        return NotAllowedError(SYSTEM, words, hint=hint)
    if status == 404:
        return NotFoundError(SYSTEM, f"could not {doing}: there is no such thing")
    if status in {400, 422}:
        return RejectedError(SYSTEM, f"{words}: {shortened(answer.text, 200)}")
    return UnreachableError(SYSTEM, words)


def fitting(tags: Sequence[str]) -> list[str]:
    """As many of ``tags``, from the first on, as Grafana takes at once."""
    found: list[str] = []
    length = 2
    for tag in dict.fromkeys(tags):
        length += len(tag.encode()) + 3
        if length > _MOST_OF_TAGS:
            break
        found.append(tag)
    return found


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
