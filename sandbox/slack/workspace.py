"""Why: what was posted must be kept, in order and unmistakable, so that people and tests can read it.

One Slack workspace in memory: channels, messages, files. It knows nothing of HTTP and refuses
nothing on its own; ``methods`` says what Slack would say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.world import World

TEAM_ID = "T0SANDBOX"
BOT_ID = "B0GAMEDAY"
BOT_USER_ID = "U0GAMEDAY"


@dataclass(slots=True)
class Channel:
    """A public channel, its name without the ``#``."""

    id: str
    name: str
    is_member: bool = True
    is_archived: bool = False


@dataclass(slots=True)
class Message:
    """One message, as it stands now."""

    ts: str
    channel: str
    channel_name: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    thread_ts: str | None = None
    username: str | None = None
    files: list[str] = field(default_factory=list)
    reactions: list[str] = field(default_factory=list)
    edits: int = 0
    deleted: bool = False
    by_webhook: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Everything about it, for ``GET /control/slack/messages``."""
        return asdict(self)


@dataclass(slots=True)
class File:
    """A file on its way (``content`` is None) or here."""

    id: str
    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    shared: bool = False


class Workspace:
    """Channels, messages and files of one team."""

    def __init__(self, world: World, channels: Iterable[str]) -> None:
        """Have ``channels`` (with or without ``#``), which the bot is a member of, and three more.

        ``#random`` has not invited the bot, ``#old-incidents`` is archived: a message to either fails.
        """
        self._world = world
        self._last_ts = 0
        self._file_numbers = itertools.count(1)
        self.messages: list[Message] = []
        self.files: dict[str, File] = {}
        names = list(dict.fromkeys(["general", *(name.lstrip("#") for name in channels)]))
        self.channels = [Channel(f"C{number:08d}", name) for number, name in enumerate(names, 1)]
        self.channels.append(Channel("C90000001", "random", is_member=False))
        self.channels.append(Channel("C90000002", "old-incidents", is_archived=True))

    def channel(self, reference: str, *, by_name: bool = True) -> Channel | None:
        """The channel with this id or, if ``by_name``, this name, with or without ``#``."""
        name = reference.removeprefix("#") if by_name else None
        return next((known for known in self.channels if reference == known.id or name == known.name), None)

    def message(self, channel: Channel, ts: str) -> Message | None:
        """The message at ``ts``, unless it was deleted."""
        for message in self.messages:
            if message.ts == ts and message.channel == channel.id and not message.deleted:
                return message
        return None

    def post(self, channel: Channel, text: str, *, thread_ts: str | None = None, **rest: Any) -> Message:
        """Keep a new message. A reply to a message that is not there becomes a message of its own.

        So does Slack: it posts it at the top level, and only the missing ``thread_ts`` of its answer
        tells (slack-go/slack issue 1571). A reply to a reply joins the thread of that.
        """
        parent = self.message(channel, thread_ts) if thread_ts else None
        message = Message(
            ts=self._next_ts(),
            channel=channel.id,
            channel_name=channel.name,
            text=text,
            thread_ts=(parent.thread_ts or parent.ts) if parent else None,
            **rest,
        )
        self.messages.append(message)
        return message

    def expect_file(self, name: str, length: int) -> File:
        """Make room for a file of ``length`` bytes that is about to be uploaded."""
        file = File(f"F{next(self._file_numbers):08d}", name, length)
        self.files[file.id] = file
        return file

    def _next_ts(self) -> str:
        # A ts is the message's identity within its channel: unique, although virtual time stands still.
        now = round(self._world.now().timestamp() * 1_000_000)
        self._last_ts = max(now, self._last_ts + 1)
        seconds, micros = divmod(self._last_ts, 1_000_000)
        return f"{seconds}.{micros:06d}"
