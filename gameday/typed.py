"""Why: what one person types stands in the terminals, messages and pages of others, as one plain line.

A name, a reason or a comment cannot pretend to be a line of ours, steer a terminal, or be endless.
What each of those places reads as markup is for whoever writes there to escape.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 1000
"""Characters: twenty reasons must fit into the safety lever's history, and one into a message."""

STEERING: Final = frozenset(
    (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
) - {ord("\t"), ord("\n")}
"""What moves a terminal's cursor, or shows a line in another order than it is written."""

_DROPPED: Final = dict.fromkeys(STEERING, " ")


def one_line(text: str) -> str:
    """``text`` in one line, without what steers a terminal, cut off where it is endless."""
    line = " ".join(text.translate(_DROPPED).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 2]} …"
