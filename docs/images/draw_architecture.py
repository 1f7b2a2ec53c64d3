"""Why: pictures of the architecture that nobody redraws are wrong after a year.

``python docs/images/draw_architecture.py`` writes ``layers.svg``, read from ``.importlinter``, and
``architecture.svg``, whose boxes and arrows stand below. A test fails where the files lag.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

_HERE: Final = Path(__file__).parent
_CONTRACTS: Final = _HERE.parents[1] / ".importlinter"

_FONT: Final = "font-family='Helvetica, Arial, sans-serif'"
_INK, _PAPER, _OURS, _OTHERS = "#1f2933", "#ffffff", "#dbeafe", "#eceff1"


class Box(NamedTuple):
    """A part: where it stands, what it is called, a word about it, and whether it is ours."""

    x: int
    y: int
    width: int
    title: str
    about: str
    ours: bool = True

    @property
    def centre(self) -> int:
        """Where arrows meet it."""
        return self.x + self.width // 2


_HEIGHT: Final = 52

_BOXES: Final = {
    "people": Box(20, 20, 190, "People", "terminal, Prefect UI", ours=False),
    "prefect": Box(250, 20, 190, "Prefect", "schedules, workers", ours=False),
    "slack": Box(710, 20, 190, "Slack", "a thread for each run", ours=False),
    "command": Box(20, 130, 190, "gameday", "plan, run, stop, look"),
    "run": Box(250, 130, 190, "The run", "a flow: inject, judge, end"),
    "watchdog": Box(480, 130, 190, "Its watchdog", "outlives the run"),
    "journal": Box(710, 130, 190, "The journal", "records, approvals, audit"),
    "api": Box(20, 250, 420, "Kubernetes API server", "chaos objects, Leases, the safety lever", ours=False),
    "guard": Box(480, 250, 190, "The guard", "two replicas, one acts"),
    "prometheus": Box(710, 250, 190, "Prometheus", "signals of each service", ours=False),
    "policy": Box(20, 360, 190, "Admission policies", "judge every object"),
    "mesh": Box(250, 360, 190, "Chaos Mesh", "injects and recovers", ours=False),
    "platform": Box(480, 360, 420, "The platform", "services, database, cache", ours=False),
}

# From, to, and what goes there.
_ARROWS: Final = (
    ("people", "command", ""),
    ("prefect", "run", "starts"),
    ("command", "api", "stop, halt"),
    ("run", "api", "faults, Leases"),
    ("run", "watchdog", ""),
    ("watchdog", "api", "ends"),
    ("guard", "api", ""),
    ("guard", "prometheus", ""),
    ("watchdog", "journal", ""),
    ("run", "slack", "tells"),
    ("api", "policy", "asks"),
    ("api", "mesh", ""),
    ("mesh", "platform", ""),
    ("prometheus", "platform", "scrapes"),
)

_BELOW: Final = (
    "Blue: ours. Grey: what was there before.",
    "Not drawn: the run, too, asks Prometheus and writes the journal; the guard tells Slack.",
)


def layers() -> str:
    """The floors of ``.importlinter``, as SVG."""
    contracts = configparser.ConfigParser()
    contracts.read(_CONTRACTS, encoding="utf-8")
    floors = contracts["importlinter:contract:layers"]["layers"].split("\n")
    names = [[one.strip() for one in floor.split("|")] for floor in floors if floor.strip()]
    parts = []
    for number, floor in enumerate(names):
        width = (560 - 10 * (len(floor) - 1)) // len(floor)
        for place, name in enumerate(floor):
            parts.append(_box(20 + place * (width + 10), 16 + number * 40, width, 30, name, _OURS))
    return _svg(600, 26 + 40 * len(names), parts)


def architecture() -> str:
    """The parts and who acts on whom, as SVG."""
    parts = [_arrow(_BOXES[begin], _BOXES[end], words) for begin, end, words in _ARROWS]
    for box in _BOXES.values():
        colour = _OURS if box.ours else _OTHERS
        parts.append(_box(box.x, box.y, box.width, _HEIGHT, box.title, colour, box.about))
    for number, words in enumerate(_BELOW):
        parts.append(_text(20, 440 + 18 * number, words, size=12, anchor="start"))
    return _svg(920, 474, parts)


def _box(x: int, y: int, width: int, height: int, title: str, colour: str, about: str = "") -> str:
    middle = x + width // 2
    lines = [
        f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='6' fill='{colour}' stroke='{_INK}'/>"
    ]
    lines.append(_text(middle, y + height // 2 + (-3 if about else 5), title, size=14, bold=bool(about)))
    if about:
        lines.append(_text(middle, y + height // 2 + 15, about, size=12))
    return "\n".join(lines)


def _arrow(begin: Box, end: Box, words: str) -> str:
    if begin.y == end.y:
        forth = begin.x < end.x
        x1, x2 = (begin.x + begin.width, end.x) if forth else (begin.x, end.x + end.width)
        y1 = y2 = begin.y + _HEIGHT // 2
    else:
        down = begin.y < end.y
        y1, y2 = (begin.y + _HEIGHT, end.y) if down else (begin.y, end.y + _HEIGHT)
        x1 = x2 = begin.centre
        if not end.x < x1 < end.x + end.width:
            x2 = min(max(x1, end.x + 30), end.x + end.width - 30)
    line = f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{_INK}' marker-end='url(#tip)'/>"
    if not words:
        return line
    return f"{line}\n{_text((x1 + x2) // 2 + 6, (y1 + y2) // 2 - 4, words, size=11, anchor='start')}"


def _text(x: int, y: int, words: str, *, size: int, bold: bool = False, anchor: str = "middle") -> str:
    weight = " font-weight='bold'" if bold else ""
    return (
        f"<text x='{x}' y='{y}' {_FONT} font-size='{size}'{weight} text-anchor='{anchor}' "
        f"fill='{_INK}'>{escape(words)}</text>"
    )


def _svg(width: int, height: int, parts: list[str]) -> str:
    tip = (
        "<defs><marker id='tip' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='8' markerHeight='8' "
        f"orient='auto'><path d='M 0 0 L 10 5 L 0 10 z' fill='{_INK}'/></marker></defs>"
    )
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img'>"
    paper = f"<rect width='{width}' height='{height}' fill='{_PAPER}'/>"
    return "\n".join([head, tip, paper, *parts, "</svg>"]) + "\n"


PICTURES: Final = {"layers.svg": layers, "architecture.svg": architecture}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (_HERE / name).write_text(draw(), encoding="utf-8")
