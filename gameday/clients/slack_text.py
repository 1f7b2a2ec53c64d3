"""Why: what a person typed must not become a mention, a link or another field in somebody's Slack.

Escapes and cuts texts, and lays a message out in Block Kit by the SDK's own models. The limits are those
of Slack's reference of blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from slack_sdk.models.blocks import (
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from gameday.redaction import redacted

_LONGEST_HEADER: Final = 150
_LONGEST_SECTION: Final = 3000
_LONGEST_FIELD: Final = 1000
_FIELDS_A_BLOCK: Final = 10
_MOST_FIELDS: Final = 30


def joined(text: str) -> str:
    """``text`` in one line: a second one could pretend to be another field."""
    return " ".join(text.split())


def escaped(text: str) -> str:
    """``text`` with the three characters that Slack reads as markup made harmless."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def address(url: str) -> str:
    """``url`` for use in a link: it cannot end the link early."""
    return escaped(url).replace("|", "%7C")


def fitting(text: str, limit: int) -> str:
    """``text``, which is escaped, cut to ``limit`` characters and never within an escape."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 2]
    # An escape cut in two would be shown as it is.
    start = cut.rfind("&")
    if start > len(cut) - 5 and ";" not in cut[start:]:
        cut = cut[:start]
    return f"{cut} …"


def blocks(
    title: str, text: str, fields: Mapping[str, str], link: tuple[str, str] | None
) -> list[dict[str, Any]]:
    """A message in blocks; what does not fit is cut, as in the text that goes with them."""
    found: list[Any] = []
    if title:
        found.append(HeaderBlock(text=PlainTextObject(text=_cut(joined(redacted(title)), _LONGEST_HEADER))))
    if text:
        words = fitting(escaped(redacted(text)), _LONGEST_SECTION)
        found.append(SectionBlock(text=MarkdownTextObject(text=words, verbatim=True)))
    shown = [_field(name, value) for name, value in [*fields.items()][:_MOST_FIELDS]]
    found += [
        SectionBlock(fields=shown[begin : begin + _FIELDS_A_BLOCK])
        for begin in range(0, len(shown), _FIELDS_A_BLOCK)
    ]
    if link is not None:
        words = f"<{address(redacted(link[1]))}|{escaped(link[0])}>"
        found.append(ContextBlock(elements=[MarkdownTextObject(text=words)]))
    return [block.to_dict() for block in found]


def _field(name: str, value: str) -> MarkdownTextObject:
    words = fitting(escaped(joined(redacted(value))) or "-", _LONGEST_FIELD)
    return MarkdownTextObject(text=f"*{escaped(name)}*\n{words}", verbatim=True)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 2]} …"
