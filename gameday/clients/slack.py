"""Why: people hear of a run in one Slack thread, or where there is no Slack, on the terminal.

Three messengers with one face: a bot token, an incoming webhook, the terminal. Sending raises an
``OutsideError`` that says what to fix; ``attempt`` turns that into a result, for those who must not
be stopped by a message. Whether a run may go on without having told anybody is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from gameday.clients.failures import shortened
from gameday.clients.loopback import is_loopback
from gameday.clients.slack_text import address, blocks, escaped, fitting, joined
from gameday.errors import NotAllowedError, NotFoundError, OutsideError, RejectedError, UnreachableError
from gameday.redaction import redacted
from gameday.settings import Settings

SYSTEM: Final = "Slack"
# Slack truncates at 40,000 and asks for 4,000 at most.
LONGEST_TEXT: Final = 3900
_RETRIES = 2

_NOT_ALLOWED: Final = {
    "invalid_auth": "Set GAMEDAY_SLACK_TOKEN to a valid bot token (xoxb-…).",
    "not_authed": "Set GAMEDAY_SLACK_TOKEN to a valid bot token (xoxb-…).",
    "account_inactive": "The bot was removed or its workspace deleted; install the app again.",
    "token_revoked": "The token was revoked; install the app again and set GAMEDAY_SLACK_TOKEN.",
    "token_expired": "The token has expired; set GAMEDAY_SLACK_TOKEN to a new one.",
    "missing_scope": "Give the app the missing scope and install it again.",
    "not_in_channel": "Invite the bot: /invite in that channel, or give the app the scope chat:write.public.",
    "restricted_action": "A workspace setting forbids the bot to post there; ask its administrators.",
}
_NOT_FOUND: Final = {
    "channel_not_found": "Create the channel, or, where it is private, /invite the bot there.",
    "is_archived": "The channel is archived; name another one in experiments/platform.yaml.",
    "message_not_found": "The message was deleted; a new thread is needed.",
}


# Slack's own advice for a page, and an end to a workspace that has no end.
_PAGE: Final = 200
_MOST_PAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Message:
    """What to say, in plain text: formatting and escaping are the messenger's.

    ``fields`` are short facts, shown one a line; ``link`` is a label and an address.
    """

    text: str
    title: str = ""
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    link: tuple[str, str] | None = None

    def for_slack(self) -> str:
        """The message in Slack's mrkdwn, escaped and not too long."""
        lines = [f"*{escaped(joined(self.title))}*"] if self.title else []
        lines += [escaped(self.text)] if self.text else []
        lines += [f"*{escaped(name)}:* {escaped(joined(value))}" for name, value in self.fields.items()]
        tail = f"\n<{address(self.link[1])}|{escaped(self.link[0])}>" if self.link else ""
        # After escaping: an address is hidden as well as the text.
        return fitting(redacted("\n".join(lines)), LONGEST_TEXT - len(tail)) + redacted(tail)

    def for_terminal(self) -> str:
        """The message as lines of plain text."""
        lines = [self.title] if self.title else []
        lines += [self.text] if self.text else []
        lines += [f"{name}: {value}" for name, value in self.fields.items()]
        lines += [f"{self.link[0]}: {self.link[1]}"] if self.link else []
        return redacted("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Thread:
    """Where a conversation goes on: the channel and the timestamp of its head, in Slack's own terms."""

    channel: str
    ts: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether a message arrived, and if not, why not and what to do."""

    ok: bool
    why: str = ""
    hint: str = ""
    thread: Thread | None = None


class Messenger(Protocol):
    """Tells people. Every method raises an ``OutsideError`` where it fails, after bounded retries."""

    @property
    def name(self) -> str:
        """``Slack``, ``Slack webhook`` or ``terminal``."""
        ...

    async def check(self) -> None:
        """Raise where messages could not be sent at all."""
        ...

    async def open_thread(self, channel: str, message: Message) -> Thread:
        """Say ``message`` in ``channel`` (such as ``#chaos``), as the head of a new thread."""
        ...

    async def reply(self, thread: Thread, message: Message) -> Thread:
        """Say ``message`` in the thread."""
        ...

    async def update(self, thread: Thread, message: Message) -> Thread:
        """Put ``message`` in place of the thread's head."""
        ...

    async def attach(self, thread: Thread, files: Sequence[Path]) -> Thread:
        """Put ``files`` into the thread, where it can hold some; else say where they lie."""
        ...


async def attempt(sending: Awaitable[Thread | None]) -> Delivery:
    """Await a call of a messenger; a failure is a result, not an exception."""
    try:
        thread = await sending
    except OutsideError as error:
        return Delivery(ok=False, why=error.message, hint=error.hint)
    return Delivery(ok=True, thread=thread)


def messenger(settings: Settings, say: Callable[[str], None]) -> Messenger:
    """The best messenger that ``settings`` allow; without any, ``say`` gets the text."""
    if settings.slack_token:
        token = settings.slack_token.get_secret_value()
        return SlackBot(token, base_url=settings.slack_base_url, timeout=settings.slack_timeout)
    if settings.slack_webhook_url:
        return SlackWebhook(settings.slack_webhook_url.get_secret_value(), timeout=settings.slack_timeout)
    return Terminal(say)


class SlackBot:
    """Slack's Web API, with a bot token."""

    name = "Slack"

    def __init__(self, token: str, *, base_url: str, timeout: timedelta = timedelta(seconds=10)) -> None:
        """Speak as the owner of ``token``; a call with its retries takes at most twice ``timeout``."""
        seconds = timeout.total_seconds()
        self._deadline_s = 2 * seconds
        self._client = AsyncWebClient(
            token, base_url=base_url, timeout=max(1, round(seconds)), retry_handlers=_retry_handlers()
        )
        if is_loopback(base_url):
            self._client.proxy = None

    async def check(self) -> None:
        """Ask Slack whether the token is good."""
        await self._call("check the token", self._client.auth_test)

    async def scopes(self) -> frozenset[str] | None:
        """What the token may do, as Slack's answers say in a header; None where they do not."""
        answer = await self._call("check the token", self._client.auth_test)
        given = {name.lower(): value for name, value in answer.headers.items()}.get("x-oauth-scopes")
        return frozenset(scope.strip() for scope in given.split(",")) - {""} if given is not None else None

    async def channels(self) -> dict[str, bool]:
        """The public channels that there are, by name, and whether the bot is in each."""
        found: dict[str, bool] = {}
        cursor = ""
        for _ in range(_MOST_PAGES):
            answer = await self._call(
                "list the channels",
                self._client.conversations_list,
                exclude_archived=True,
                limit=_PAGE,
                cursor=cursor,
            )
            found |= {str(one["name"]): bool(one.get("is_member")) for one in answer["channels"]}
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return found

    async def open_thread(self, channel: str, message: Message) -> Thread:
        """Post the head of a thread."""
        answer = await self._call(
            f"post in {channel}", self._client.chat_postMessage, channel=channel, **_body(message)
        )
        return Thread(str(answer["channel"]), str(answer["ts"]), message.title)

    async def reply(self, thread: Thread, message: Message) -> Thread:
        """Post in the thread."""
        await self._call(
            f"post in {thread.channel}",
            self._client.chat_postMessage,
            channel=thread.channel,
            thread_ts=thread.ts,
            **_body(message),
        )
        return thread

    async def update(self, thread: Thread, message: Message) -> Thread:
        """Edit the head."""
        await self._call(
            f"edit a message in {thread.channel}",
            self._client.chat_update,
            channel=thread.channel,
            ts=thread.ts,
            **_shown(message),
        )
        return thread

    async def attach(self, thread: Thread, files: Sequence[Path]) -> Thread:
        """Upload the files into the thread, all in one message."""
        await self._call(
            f"put files into {thread.channel}",
            self._client.files_upload_v2,
            channel=thread.channel,
            thread_ts=thread.ts,
            file_uploads=[{"file": str(path), "filename": path.name, "title": path.name} for path in files],
        )
        return thread

    async def _call(self, doing: str, method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await method(**arguments)
        except SlackApiError as error:
            raise _refused(error, doing) from error
        except TimeoutError as error:
            raise UnreachableError(
                SYSTEM, f"could not {doing}: no answer within {self._deadline_s:g} s."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(SYSTEM, f"could not {doing}: {shortened(str(error), 200)}") from error


class SlackWebhook:
    """An incoming webhook: one channel, which Slack has fixed, no threads and no editing."""

    name = "Slack webhook"

    def __init__(self, url: str, *, timeout: timedelta = timedelta(seconds=10)) -> None:
        """Post to ``url``; a call with its retries takes at most twice ``timeout``."""
        seconds = timeout.total_seconds()
        self._deadline_s = 2 * seconds
        self._client = AsyncWebhookClient(
            url, timeout=max(1, round(seconds)), retry_handlers=_retry_handlers()
        )
        if is_loopback(url):
            self._client.proxy = None

    async def check(self) -> None:
        """Nothing to ask: a webhook only shows by a message whether it works."""

    async def open_thread(self, channel: str, message: Message) -> Thread:
        """Post to the webhook's own channel, whatever ``channel`` says."""
        await self._send(message.for_slack())
        return Thread(channel, title=message.title)

    async def reply(self, thread: Thread, message: Message) -> Thread:
        """Post, under the title of the thread where the message has none of its own."""
        titled = (
            message if message.title else Message(message.text, thread.title, message.fields, message.link)
        )
        await self._send(titled.for_slack())
        return thread

    async def update(self, thread: Thread, message: Message) -> Thread:
        """Send nothing: a webhook cannot edit, and a second head would only repeat the first."""
        del message
        return thread

    async def attach(self, thread: Thread, files: Sequence[Path]) -> Thread:
        """Send nothing: a webhook takes no files, and its readers cannot open ours."""
        del files
        return thread

    async def _send(self, text: str) -> None:
        doing = "post through the webhook"
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._client.send(text=text, unfurl_links=False, unfurl_media=False)
        except TimeoutError as error:
            raise UnreachableError(
                SYSTEM, f"could not {doing}: no answer within {self._deadline_s:g} s."
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(SYSTEM, f"could not {doing}: {shortened(str(error), 200)}") from error
        if answer.status_code == 200:
            return
        told = f"could not {doing}: Slack answered {answer.status_code}: {shortened(answer.body, 200)}"
        if answer.status_code >= 500 or answer.status_code == 429:
            raise UnreachableError(SYSTEM, told)
        raise RejectedError(SYSTEM, told, hint="Set GAMEDAY_SLACK_WEBHOOK_URL to a webhook that is in use.")


class Terminal:
    """Where there is no Slack: says what would have been sent, and to whom."""

    name = "terminal"

    def __init__(self, say: Callable[[str], None]) -> None:
        """Give each message to ``say``."""
        self._say = say

    async def check(self) -> None:
        """Always well."""

    async def open_thread(self, channel: str, message: Message) -> Thread:
        """Say it, with the channel."""
        self._say(f"{channel}: {message.for_terminal()}")
        return Thread(channel, title=message.title)

    async def reply(self, thread: Thread, message: Message) -> Thread:
        """Say it, with the channel and an arrow."""
        self._say(f"{thread.channel} > {message.for_terminal()}")
        return thread

    async def update(self, thread: Thread, message: Message) -> Thread:
        """Say it as the new head."""
        self._say(f"{thread.channel} = {message.for_terminal()}")
        return thread

    async def attach(self, thread: Thread, files: Sequence[Path]) -> Thread:
        """Say nothing: where they lie is the last line of every run."""
        del files
        return thread


def _body(message: Message) -> dict[str, Any]:
    return {**_shown(message), "unfurl_links": False, "unfurl_media": False}


def _shown(message: Message) -> dict[str, Any]:
    """The message in blocks, and as text for notifications and for whoever cannot show blocks."""
    laid_out = blocks(message.title, message.text, message.fields, message.link)
    return {"text": message.for_slack(), **({"blocks": laid_out} if laid_out else {})}


def _retry_handlers() -> list[AsyncRetryHandler]:
    return [
        AsyncConnectionErrorRetryHandler(_RETRIES),
        AsyncRateLimitErrorRetryHandler(_RETRIES),
        AsyncServerErrorRetryHandler(_RETRIES),
    ]


def _refused(error: SlackApiError, doing: str) -> OutsideError:
    response: Any = error.response
    status = int(getattr(response, "status_code", 0))
    data = getattr(response, "data", response)
    code = str(data.get("error", "")) if isinstance(data, Mapping) else ""
    if code in _NOT_ALLOWED:
        needed = str(data.get("needed", ""))
        hint = f"{_NOT_ALLOWED[code]} It needs: {needed}." if needed else _NOT_ALLOWED[code]
        return NotAllowedError(SYSTEM, f"could not {doing}: {code}", hint=hint)
    if code in _NOT_FOUND:
        return NotFoundError(SYSTEM, f"could not {doing}: {code}", hint=_NOT_FOUND[code])
    if code == "ratelimited" or status == 429 or status >= 500 or not code:
        return UnreachableError(
            SYSTEM, f"could not {doing}: Slack answered {code or status or shortened(str(error), 200)}"
        )
    return RejectedError(SYSTEM, f"could not {doing}: {code}")
