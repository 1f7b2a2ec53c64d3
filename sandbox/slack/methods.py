"""Why: ``slack_sdk`` calls methods by name and tells errors apart by name, so the names must be right.

Each method of the Web API that a run needs, with the errors that Slack's reference lists for it.
Transport, tokens and rate limits are ``app``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sandbox.slack import blocks as block_kit
from sandbox.slack.workspace import BOT_ID, BOT_USER_ID, TEAM_ID, Channel, File, Message, Workspace

Arguments = dict[str, Any]
Answer = dict[str, Any]

_MAX_TEXT = 40_000
_TS = re.compile(r"\d{10,}\.\d{6}")
_EMOJI = re.compile(r"[a-z0-9_+-]+(::skin-tone-[2-6])?")
_DEFAULT_PAGE = 100


class SlackError(Exception):
    """What Slack answers as ``{"ok": false, "error": …}``."""

    def __init__(self, error: str, *messages: str) -> None:
        """Name the ``error``; ``messages`` go to ``response_metadata``, where Slack explains itself."""
        super().__init__(error)
        self.error = error
        self.messages = messages


class Methods:
    """The Web API over one workspace. ``url`` is where the sandbox's Slack is mounted."""

    def __init__(self, workspace: Workspace, url: str) -> None:
        """Serve ``workspace``."""
        self._workspace = workspace
        self._url = url
        self._by_name: dict[str, Callable[[Arguments], Answer]] = {
            "api.test": lambda arguments: {"args": arguments},
            "auth.test": self._auth_test,
            "chat.delete": self._chat_delete,
            "chat.postMessage": self._chat_post,
            "chat.update": self._chat_update,
            "conversations.info": self._conversations_info,
            "conversations.join": self._conversations_join,
            "conversations.list": self._conversations_list,
            "files.completeUploadExternal": self._files_complete,
            "files.getUploadURLExternal": self._files_upload_url,
            "reactions.add": self._reactions_add,
            "users.info": self._users_info,
        }

    def call(self, name: str, arguments: Arguments) -> Answer:
        """Call the method ``name``. Raises ``SlackError`` with what Slack would answer."""
        method = self._by_name.get(name)
        if method is None:
            raise SlackError("unknown_method")
        return method(arguments)

    def post(self, channel: Channel, arguments: Arguments, *, by_webhook: bool = False) -> Message:
        """Post to ``channel`` what ``arguments`` say, held to Slack's rules."""
        text, blocks, attachments = _content(arguments)
        if not (text or blocks or attachments):
            raise SlackError("no_text")
        thread_ts = arguments.get("thread_ts")
        if thread_ts is not None and not _TS.fullmatch(str(thread_ts)):
            raise SlackError("invalid_thread_ts", f"[ERROR] {thread_ts} is not a valid thread_ts")
        if channel.is_archived:
            raise SlackError("is_archived")
        if not channel.is_member:
            raise SlackError("not_in_channel")
        return self._workspace.post(
            channel,
            text,
            blocks=blocks,
            attachments=attachments,
            thread_ts=thread_ts and str(thread_ts),
            username=arguments.get("username"),
            by_webhook=by_webhook,
        )

    def _auth_test(self, _: Arguments) -> Answer:
        return {
            "url": f"{self._url}/",
            "team": "sandbox",
            "user": "gameday",
            "team_id": TEAM_ID,
            "user_id": BOT_USER_ID,
            "bot_id": BOT_ID,
            "is_enterprise_install": False,
        }

    def _chat_post(self, arguments: Arguments) -> Answer:
        message = self.post(self._channel(arguments, by_name=True), arguments)
        return {"channel": message.channel, "ts": message.ts, "message": self._shown(message)}

    def _chat_update(self, arguments: Arguments) -> Answer:
        message = self._message(arguments)
        text, blocks, attachments = _content(arguments)
        if not (text or blocks or attachments):
            raise SlackError("no_text")
        message.text, message.blocks, message.attachments = text, blocks, attachments
        message.edits += 1
        return {
            "channel": message.channel,
            "ts": message.ts,
            "text": text,
            "message": self._shown(message),
        }

    def _chat_delete(self, arguments: Arguments) -> Answer:
        message = self._message(arguments)
        message.deleted = True
        return {"channel": message.channel, "ts": message.ts}

    def _conversations_list(self, arguments: Arguments) -> Answer:
        hide_archived = str(arguments.get("exclude_archived", "")).lower() in {"1", "true"}
        found = [
            channel for channel in self._workspace.channels if not (hide_archived and channel.is_archived)
        ]
        try:
            first = int(arguments.get("cursor") or 0)
            limit = int(arguments.get("limit") or _DEFAULT_PAGE)
        except ValueError:
            raise SlackError("invalid_cursor") from None
        last = first + limit
        return {
            "channels": [_channel_object(channel) for channel in found[first:last]],
            "response_metadata": {"next_cursor": str(last) if last < len(found) else ""},
        }

    def _conversations_info(self, arguments: Arguments) -> Answer:
        return {"channel": _channel_object(self._channel(arguments))}

    def _conversations_join(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments)
        if channel.is_archived:
            raise SlackError("is_archived")
        channel.is_member = True
        return {"channel": _channel_object(channel)}

    def _files_upload_url(self, arguments: Arguments) -> Answer:
        name = _required(arguments, "filename")
        try:
            length = int(_required(arguments, "length"))
        except ValueError:
            raise SlackError("invalid_arguments", "[ERROR] length must be a number") from None
        if length <= 0:
            raise SlackError("invalid_arguments", "[ERROR] length must be greater than 0")
        file = self._workspace.expect_file(name, length)
        return {"upload_url": f"{self._url}/upload/v1/{file.id}", "file_id": file.id}

    def _files_complete(self, arguments: Arguments) -> Answer:
        wanted = _structure(arguments, "files", "invalid_arguments")
        if not isinstance(wanted, list) or not wanted:
            raise SlackError("invalid_arguments", "[ERROR] missing required field: files")
        channel = self._channel(arguments, "channel_id") if arguments.get("channel_id") else None
        if channel is not None and not channel.is_member:
            raise SlackError("not_in_channel")
        files = [self._uploaded(item) for item in wanted]
        if channel is not None:
            for file in files:
                file.shared = True
            self._workspace.post(
                channel,
                str(arguments.get("initial_comment") or ""),
                thread_ts=arguments.get("thread_ts"),
                files=[file.id for file in files],
            )
        return {"files": [{"id": file.id, "title": file.title, "name": file.name} for file in files]}

    def _uploaded(self, item: Any) -> File:
        file = self._workspace.files.get(str(item.get("id"))) if isinstance(item, dict) else None
        if file is None or file.content is None:
            raise SlackError("file_not_found")
        file.title = str(item.get("title") or file.name)
        return file

    def _reactions_add(self, arguments: Arguments) -> Answer:
        name = _required(arguments, "name").strip(":")
        if not _EMOJI.fullmatch(name):
            raise SlackError("invalid_name")
        message = self._message(arguments, "timestamp")
        if name in message.reactions:
            raise SlackError("already_reacted")
        message.reactions.append(name)
        return {}

    def _users_info(self, arguments: Arguments) -> Answer:
        user = _required(arguments, "user")
        if user != BOT_USER_ID:
            raise SlackError("user_not_found")
        profile = {"real_name": "gameday", "display_name": "gameday"}
        return {
            "user": {"id": user, "team_id": TEAM_ID, "name": "gameday", "is_bot": True, "profile": profile}
        }

    def _channel(self, arguments: Arguments, key: str = "channel", *, by_name: bool = False) -> Channel:
        # Only chat.postMessage takes a name; every other method wants the id that it answered.
        channel = self._workspace.channel(_required(arguments, key), by_name=by_name)
        if channel is None:
            raise SlackError("channel_not_found")
        return channel

    def _message(self, arguments: Arguments, key: str = "ts") -> Message:
        message = self._workspace.message(self._channel(arguments), _required(arguments, key))
        if message is None:
            raise SlackError("message_not_found")
        return message

    def _shown(self, message: Message) -> Answer:
        shown: Answer = {
            "type": "message",
            "user": BOT_USER_ID,
            "bot_id": BOT_ID,
            "team": TEAM_ID,
            "ts": message.ts,
            "text": message.text,
        }
        if message.blocks:
            shown["blocks"] = message.blocks
        if message.thread_ts:
            shown["thread_ts"] = message.thread_ts
        return shown


def _required(arguments: Arguments, key: str) -> str:
    value = arguments.get(key)
    if value is None or value == "":
        raise SlackError("invalid_arguments", f"[ERROR] missing required field: {key}")
    return str(value)


def _structure(arguments: Arguments, key: str, error: str) -> Any:
    # A form carries structures as JSON in a string, a JSON body as they are.
    value = arguments.get(key)
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError(error) from None


def _content(arguments: Arguments) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    text = str(arguments.get("text") or "")
    if len(text) > _MAX_TEXT:
        raise SlackError("msg_too_long")
    blocks = _structure(arguments, "blocks", "invalid_blocks_format")
    if blocks is not None and (wrong := list(block_kit.mistakes(blocks))):
        raise SlackError("invalid_blocks", *wrong)
    attachments = _structure(arguments, "attachments", "invalid_attachments")
    return text, blocks or [], attachments or []


def _channel_object(channel: Channel) -> Answer:
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_private": False,
        "is_member": channel.is_member,
        "is_archived": channel.is_archived,
    }
