"""Why: whoever watches a run in the Prefect UI sees on one page what is injected where and how it goes.

Hears the run's events and makes one page of them; ``progress`` shows it. It asks nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from gameday.journal.store import Event
from gameday.redaction import redacted
from gameday.report.templating import cell
from gameday.spec.base import format_duration

_MARKS: Final = {"ok": "ok", "breach": "outside", "broken": "**disproved**", "over": "**abort**"}


@dataclass
class Board:
    """What is known of a run now."""

    title: str = ""
    stage: str = ""
    left_s: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    signals: list[Mapping[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    at: str = ""

    def hear(self, event: Event) -> None:
        """Take an event of the run in."""
        data = event.data
        self.at = f"{event.at:%H:%M:%S}"
        match event.kind:
            case "run":
                self.title = event.message
            case "stage":
                self.stage, self.left_s = event.message, float(data.get("duration_s", 0.0))
            case "injected":
                self.faults[str(data.get("fault", ""))] = event.message
            case "ended":
                self.ended += self.faults.pop(str(data.get("fault", "")), None) is not None
            case "sample":
                # Those of the baseline and the recovery have no time that is left.
                self.left_s, self.signals = float(data.get("left_s", 0.0)), list(data.get("signals", ()))
            case "stop" | "alert" | "warning" | "verdict" | "recovery":
                self.notes.append(event.message)

    def markdown(self) -> str:
        """The page."""
        left = format_duration(timedelta(seconds=round(self.left_s)))
        stage = f"{cell(self.stage)} ({left} left)" if self.stage else "Nothing has been injected yet."
        injected = "".join(f"- {cell(what)}\n" for what in self.faults.values()) or "Nothing.\n"
        page = f"# {cell(self.title)}\n\n{stage}\n\n## In now\n\n{injected}"
        if self.ended:
            page += f"\n{self.ended} ended before, each proved.\n"
        if self.signals:
            rows = "".join(_row(one) for one in self.signals)
            page += f"\n## Signals at {self.at} UTC\n\n| | Signal | Worst at | Value | Limit |\n"
            page += f"|---|---|---|---|---|\n{rows}"
        if self.notes:
            page += "\n## Told\n\n" + "".join(f"- {cell(note)}\n" for note in self.notes[-10:])
        return redacted(page)


def _row(one: Mapping[str, Any]) -> str:
    value = f"{one['value']:.3g} {one.get('unit', '')}".strip() if one.get("value") is not None else "unknown"
    mark = _MARKS.get(str(one.get("state", "")), "**unknown**")
    cells = (one.get("signal", ""), one.get("service") or "all services", value, one.get("limit", ""))
    return f"| {mark} | {' | '.join(cell(str(text)) for text in cells)} |\n"
