"""Why: a run is followed on the terminal the same way by whoever started it and by whoever joins.

Turns the events of a journal into lines. Knows nothing of how they got here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gameday.cli.output import HARMLESS, local_time
from gameday.journal.store import Event, Verdict
from gameday.monitor.judge import figure
from gameday.run.notices import mark

_STATE_STYLES: Final = {
    "ok": "green",
    "breach": "yellow",
    "unknown": "yellow",
    "broken": "bold red",
    "over": "bold red",
}
# What is in trouble must be seen without colours too; an unknown value says so itself.
_STATE_WORDS: Final = {"breach": "BREACH", "broken": "BROKEN", "over": "PAST THE GUARDRAIL"}
_KIND_STYLES: Final = {
    "phase": "bold cyan",
    "stage": "bold",
    "injected": "magenta",
    "ended": "magenta",
    "stop": "magenta",
    "warning": "bold yellow",
    "message": "dim",
    "verdict": "bold",
}

_INDENT: Final = " " * 10
_STAGE_WIDTH: Final = 24
_LEFT_WIDTH: Final = 10
_ROOMY: Final = 100


class Follower:
    """Prints the events of a run, one line a sample."""

    def __init__(self, console: Console) -> None:
        """Print to ``console``."""
        self._console = console
        self._stage_width = _STAGE_WIDTH if console.width >= _ROOMY else 0

    def show(self, event: Event) -> None:
        """Print one event."""
        line = Text().append(f"{local_time(event.at)}  ", style="dim")
        line.append_text(self._words(event))
        line.plain = line.plain.translate(HARMLESS)
        self._console.print(line, soft_wrap=True)

    def _words(self, event: Event) -> Text:
        match event.kind:
            case "phase" | "suite":
                mark = "==" if event.kind == "phase" else "===="
                return Text(f"{mark} {event.message} {mark}", style=_KIND_STYLES["phase"])
            case "sample":
                return self._sample(event)
            case "message":
                return _message(event)
            case "health" | "approval":
                return _with_list(event, event.data.get("bad") or event.data.get("lines", []))
            case "verdict":
                return _verdict(event)
            case kind:
                return Text(event.message, style=_KIND_STYLES.get(kind, ""))

    def _sample(self, event: Event) -> Text:
        stage, _, rest = event.message.partition(" | ")
        left, _, words = rest.partition(" | ")
        # Columns stay in line however long the names of the stages are.
        self._stage_width = max(self._stage_width, len(stage))
        head = Text(f"{stage:<{self._stage_width}}{left:>{_LEFT_WIDTH}}")
        signals: Sequence[Mapping[str, Any]] = event.data.get("signals", [])
        if not signals:
            style = "yellow" if event.data.get("missing") else ""
            return head.append(f"  {words}", style=style)
        reasons = {one["unknown"] for one in signals if one["value"] is None}
        if len(reasons) == 1 and all(one["value"] is None for one in signals):
            names = ", ".join(one["signal"] for one in signals)
            return head.append(f"  {names} unknown: {reasons.pop()}", style=_STATE_STYLES["unknown"])
        return self._fitted(head, signals)

    def _fitted(self, head: Text, signals: Sequence[Mapping[str, Any]]) -> Text:
        """As much as fits on the terminal's line; on a narrow one, signals go on below."""
        room = self._console.width - len(_INDENT)
        whole = _joined(head, [_signal(one, where=True) for one in signals])
        if not self._console.is_terminal or len(whole) <= room:
            return whole
        parts = [_signal(one, where=one["state"] != "ok") for one in signals]
        shorter = _joined(head, parts)
        return shorter if len(shorter) <= room else _broken(head, parts, room)


def _signal(one: Mapping[str, Any], *, where: bool) -> Text:
    state = one["state"]
    value = "unknown" if one["value"] is None else figure(one["value"], one.get("unit", ""))
    text = Text(f"{one['signal']} {value}", style=_STATE_STYLES.get(state, ""))
    service = f" {one['service']}" if one["service"] and where else ""
    limit = f" ({one['limit']})" if one["limit"] else ""
    line = Text().append_text(text).append(f"{service}{limit}", style="dim")
    if one["unknown"]:
        line.append(f" {one['unknown']}", style="yellow")
    if state in _STATE_WORDS:
        line.append(f" {_STATE_WORDS[state]}", style=_STATE_STYLES[state])
    return line


def _joined(head: Text, parts: Sequence[Text]) -> Text:
    line = head.copy()
    for part in parts:
        line.append("  ").append_text(part)
    return line


def _broken(head: Text, parts: Sequence[Text], room: int) -> Text:
    line, used = head.copy(), len(head)
    for part in parts:
        if used + 2 + len(part) > room:
            line.append(f"\n{_INDENT}")
            used = 0
        line.append("  ").append_text(part)
        used += 2 + len(part)
    return line


def _message(event: Event) -> Text:
    by = event.data.get("by", "")
    line = Text(f"{by} {event.data.get('channel', '')}: ", style="dim")
    first, *rest = event.message.splitlines() or [""]
    line.append(first)
    for more in rest:
        line.append(f"\n{_INDENT}{more}", style="dim")
    return line


def _with_list(event: Event, items: Sequence[str]) -> Text:
    line = Text(event.message, style="" if not items else "bold yellow")
    for item in items:
        line.append(f"\n{_INDENT}- {item}")
    return line


def _verdict(event: Event) -> Text:
    verdict = Verdict(event.data["verdict"])
    style = "bold green" if verdict is Verdict.HELD else "bold red"
    line = Text(f"{mark(verdict)} {event.message}", style=style)
    if hint := event.data.get("hint"):
        line.append(f"\n{_INDENT}To do: {hint}", style="not bold default")
    return line
