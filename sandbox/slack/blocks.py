"""Why: a message that Slack would refuse must not pass a rehearsal.

The limits are those of Slack's reference of Block Kit blocks. Looks that depend on Slack's client
are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_BLOCKS = 50
_KNOWN = {
    "actions", "call", "context", "divider", "file", "header", "image", "input", "markdown", "rich_text",
    "section", "table", "video",
}  # fmt: skip
_MAX_SECTION_TEXT = 3000
_MAX_HEADER_TEXT = 150
_MAX_FIELDS = 10
_MAX_FIELD_TEXT = 2000
_MAX_CONTEXT_ELEMENTS = 10
_MAX_ACTIONS = 25


def mistakes(blocks: Any) -> Iterator[str]:
    """What Slack would say against ``blocks``, in its ``response_metadata``; nothing if they are fine."""
    if not isinstance(blocks, list):
        yield "[ERROR] must be an array [json-pointer:/blocks]"
        return
    if len(blocks) > MAX_BLOCKS:
        yield f"[ERROR] no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]"
    for number, block in enumerate(blocks):
        where = f"/blocks/{number}"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in _KNOWN:
            yield f"[ERROR] unsupported type: {kind} [json-pointer:{where}/type]"
        elif kind == "section":
            yield from _section(block, where)
        elif kind == "header":
            yield from _text(block.get("text"), f"{where}/text", _MAX_HEADER_TEXT, {"plain_text"})
        elif kind == "context":
            yield from _elements(block, where, _MAX_CONTEXT_ELEMENTS)
        elif kind == "actions":
            yield from _elements(block, where, _MAX_ACTIONS)


def _section(block: dict[str, Any], where: str) -> Iterator[str]:
    text, fields = block.get("text"), block.get("fields")
    if text is None and not fields:
        yield f"[ERROR] missing required field: text or fields [json-pointer:{where}]"
    if text is not None:
        yield from _text(text, f"{where}/text", _MAX_SECTION_TEXT)
    if isinstance(fields, list):
        if len(fields) > _MAX_FIELDS:
            yield f"[ERROR] no more than {_MAX_FIELDS} items allowed [json-pointer:{where}/fields]"
        for number, item in enumerate(fields):
            yield from _text(item, f"{where}/fields/{number}", _MAX_FIELD_TEXT)


def _elements(block: dict[str, Any], where: str, limit: int) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        yield f"[ERROR] missing required field: elements [json-pointer:{where}]"
    elif len(elements) > limit:
        yield f"[ERROR] no more than {limit} items allowed [json-pointer:{where}/elements]"


def _text(
    text: Any, where: str, limit: int, kinds: frozenset[str] | set[str] = frozenset({"mrkdwn", "plain_text"})
) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        yield f"[ERROR] must be a text object of type {' or '.join(sorted(kinds))} [json-pointer:{where}]"
        return
    words = text.get("text")
    if not isinstance(words, str) or not words:
        yield f"[ERROR] must be more than 0 characters [json-pointer:{where}/text]"
    elif len(words) > limit:
        yield f"[ERROR] must be less than {limit + 1} characters [json-pointer:{where}/text]"
