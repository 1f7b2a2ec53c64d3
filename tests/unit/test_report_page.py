"""The page of a run needs nothing but itself, says all that was learned, and keeps texts in their places."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gameday.analysis.model import Analysis, Finding, SignalSeries
from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.results import FindingRecord, Results
from gameday.journal.store import Event, Journal
from gameday.journal.summary import REMARK
from gameday.report.charts import Chart, svg
from gameday.report.publish import Published, publish_kept
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from tests.unit.test_report import NASTY, RECORD, RUN, at, plan, whole_run

# A run's page may refer to these, for people to follow: nothing is fetched.
LINKS = ("#", "http://localhost:3000/d/")


class Page(HTMLParser):
    """What a page has in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader reads."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as opened:
        yield opened


FINDING: dict[str, Any] = {
    "key": "basic-pod-failure/kill/broken/p95/auth-service",
    "severity": "high",
    "title": "p95 at auth-service reached 14.2 s",
    "service": "auth-service",
    "cause": "likely cascading failure: redis -> auth-service",
    "sure": 0.9,
    "evidence": ["calls to redis failed first"],
    "breaksHypothesis": True,
    "action": "Give calls a timeout.",
    "owner": "identity-team",
}
EFFECT = {
    "signal": "p95",
    "service": "auth-service",
    "unit": "s",
    "stage": "kill",
    "before": {"count": 60, "median": 0.12, "p95": 0.15, "least": 0.1, "most": 0.16},
    "during": {"count": 12, "median": 2.5, "p95": 14.2, "least": 0.2, "most": 14.2},
    "after": {"count": 6, "median": 0.12, "p95": 0.15, "least": 0.1, "most": 0.16},
    "shift": 2.4,
    "low": 1.9,
    "high": 3.1,
    "size": 0.95,
    "sizeLow": 0.8,
    "sizeHigh": 1.0,
    "change": "worse",
    "back": True,
}


async def analysed(
    journal: Journal, effect: Mapping[str, Any] = EFFECT, during: float = 2.5, **finding: Any
) -> None:
    """A whole run that was analysed, with what people wrote."""
    await whole_run(journal)
    body = {**FINDING, **finding}
    windows = [
        {"name": name, "begin": at(begin), "end": at(end)}
        for name, begin, end in (("before", -300, 3), ("during", 3, 63), ("after", 63, 81), ("kill", 3, 63))
    ]
    analysis = Analysis.model_validate(
        {
            "run": RUN,
            "at": at(82),
            "method": "Hodges-Lehmann",
            "windows": windows,
            "effects": [effect],
            "findings": [body],
            "detections": [{"stage": "kill", "by": "p95 at auth-service", "took": "5s"}],
            "missing": ["cpu: no answer"],
        }
    )
    found = Finding.model_validate(body)
    record = FindingRecord(
        found.key, "high", found.service, True, found.model_dump(mode="json", by_alias=True)
    )
    results = Results(journal)
    await results.keep_analysis(RUN, at(82), analysis.model_dump(mode="json", by_alias=True), [record])
    values = [0.12] * 60 + [2.5] * 2 + [during] * 10 + [0.12] * 4
    series = SignalSeries.model_validate(
        {"signal": "p95", "service": "auth-service", "begin": at(-300), "step": "5s", "values": values}
    )
    await results.keep_series(RUN, [series.model_dump(mode="json", by_alias=True)])
    item = ActionItem(
        found.key, "basic-pod-failure", found.title, found.action, found.service, "high", found.owner, at(82)
    )
    await Actions(journal).open_for(RUN, [item], by="analysis")
    data = {"by": "on-call", "intervention": True}
    await journal.append(Event(RUN, at(40), REMARK, "Intervention by on-call: drained the queue", data))


async def published(journal: Journal, tmp_path: Path) -> tuple[Published, Page, str]:
    found = await publish_kept(journal, RUN, Catalogue(), tmp_path / "reports")
    text = found.page.read_text(encoding="utf-8")
    return found, Page(text), text


async def test_the_page_says_all_that_was_learned(journal: Journal, tmp_path: Path) -> None:
    await analysed(journal)
    found, page, _ = await published(journal, tmp_path)
    for words in (
        "basic-pod-failure on staging: held",
        "p95 at auth-service reached 14.2 s",
        "likely cascading failure: redis -> auth-service , 90 % sure",
        "Give calls a timeout.",
        "identity-team",
        "item 1, open",
        "+2.4 (+1.9 to +3.1)",
        "signal: p95 at auth-service",
        "Intervention by on-call: drained the queue",
        "cpu: no answer",
        plan().digest,
    ):
        assert words.replace(" ", "") in page.text.replace(" ", ""), words
    assert found.picture is not None
    assert found.picture.read_bytes().startswith(b"\x89PNG")
    record = await journal.find(RUN)
    assert record is not None
    assert record.report == str(found.page)
    written = found.markdown.read_text(encoding="utf-8")
    assert "| p95 at auth-service reached 14.2 s **(breaks the hypothesis)** | high |" in written
    assert "Intervention by on-call" in written


async def test_the_page_fetches_nothing_and_leads_only_where_it_says(
    journal: Journal, tmp_path: Path
) -> None:
    await analysed(journal)
    _, page, text = await published(journal, tmp_path)
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "base", "form"}
    )
    assert not [
        values for _, values in page.tags if "src" in values or any(key.startswith("on") for key in values)
    ]
    followed = [values["href"] or "" for tag, values in page.tags if tag == "a"]
    assert followed
    assert all(link.startswith(LINKS) for link in followed)
    assert "@import" not in text
    assert "url(http" not in text
    policy = [values["content"] for tag, values in page.tags if values.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


async def test_a_chart_of_every_watched_signal_says_in_words_what_it_shows(
    journal: Journal, tmp_path: Path
) -> None:
    await analysed(journal)
    _, page, _ = await published(journal, tmp_path)
    described = [values["aria-label"] for tag, values in page.tags if tag == "figure"]
    assert described == ["p95 of auth-service, from 0.12 to 2.5 s"]
    assert [tag for tag, _ in page.tags].count("svg") == 1


async def test_what_is_infinite_is_on_the_page_and_at_the_edge_of_its_chart(
    journal: Journal, tmp_path: Path
) -> None:
    endless = dict.fromkeys(("shift", "low", "high"), math.inf)
    summary = {"count": 12, "median": math.inf, "p95": math.inf, "least": 2.5, "most": math.inf}
    await analysed(journal, EFFECT | endless | {"during": summary}, math.inf)
    found, page, _ = await published(journal, tmp_path)
    described = [values["aria-label"] for tag, values in page.tags if tag == "figure"]
    assert described == ["p95 of auth-service, from 0.12 to 2.5 s, +inf at the top edge"]
    assert "+inf at the top edge" in page.text
    assert "worse, past every bucket or limit" in page.text
    assert "worse, past every bucket or limit" in found.markdown.read_text(encoding="utf-8")
    assert {"nan", "NaN"}.isdisjoint(page.text.split())
    assert page.text.count("+inf") >= 3, "during, worst, and the chart"


def test_a_line_goes_to_the_edge_of_its_chart_for_as_long_as_it_is_infinite() -> None:
    def line(*values: float) -> SignalSeries:
        return SignalSeries.model_validate(
            {"signal": "front", "service": "", "begin": at(0), "step": "5s", "values": values}
        )

    for values in ([0.1, 0.2, math.inf, math.inf], [math.inf] * 4, [0.1, -math.inf, 0.1, 0.1]):
        drawn = svg(Chart("front", "s", [line(*values)]))
        assert "the platform" in drawn
        assert "+inf at the top edge" in drawn or "-inf at the bottom edge" in drawn
    many = Chart("front", "s", [line(*[0.1] * 500, math.inf, *[0.1] * 499)])
    assert "+inf at the top edge" in svg(many), "not lost where there are more points than pixels"
    assert many.in_words == "front of the platform, from 0.1 to 0.1 s, +inf at the top edge"


async def test_no_text_gets_out_of_its_place(journal: Journal, tmp_path: Path) -> None:
    await analysed(journal, title=NASTY, cause=NASTY, action=NASTY, owner=NASTY, evidence=[NASTY])
    await journal.amend(RUN, reason=f"{NASTY} \u202e backwards", requested_by=NASTY, summary=NASTY)
    await journal.append(Event(RUN, at(83), REMARK, NASTY, {"by": NASTY, "intervention": False}))
    _, page, text = await published(journal, tmp_path)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<b>" not in text
    assert "\u202e" not in text
    assert "<script>alert(1)</script>" in page.text


async def test_a_run_that_was_never_analysed_says_so(journal: Journal, tmp_path: Path) -> None:
    await whole_run(journal)
    found, page, _ = await published(journal, tmp_path)
    assert "The run was not analysed." in page.text
    assert found.diff is None
    assert "these are the run's own samples" in page.text


async def test_a_run_that_was_refused_or_cut_off_has_a_page_too(journal: Journal, tmp_path: Path) -> None:
    await journal.begin(replace(RECORD, plan=None, digest=None))
    found, page, _ = await published(journal, tmp_path)
    assert "No verdict." in page.text
    assert "There is no plan in the journal." in page.text
    assert "None was injected." in page.text
    assert found.picture is None


async def test_the_change_of_the_runbook_applies_and_is_proposed_once(
    journal: Journal, tmp_path: Path
) -> None:
    await analysed(journal)
    root = tmp_path / "repository"
    shutil.copytree(Catalogue().directory, root / "experiments")
    runbook = root / "docs" / "runbooks" / "pod-failures.md"
    runbook.parent.mkdir(parents=True)
    runbook.write_text("# Pods fail\n\nLook at them.", encoding="utf-8")
    found = await publish_kept(journal, RUN, Catalogue(root / "experiments"), tmp_path / "reports")
    assert found.diff is not None
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "apply", found.diff], cwd=root, check=True)
    written = runbook.read_text(encoding="utf-8")
    assert written.startswith("# Pods fail\n\nLook at them.\n\n<!-- runs of basic-pod-failure -->")
    assert "- `kill` shows 5s after it begins: signal p95 at auth-service." in written
    assert "- To do (identity-team): Give calls a timeout." in written
    again = await publish_kept(journal, RUN, Catalogue(root / "experiments"), tmp_path / "reports")
    assert again.diff is None
    assert "says already what this run showed" in again.page.read_text(encoding="utf-8")


def test_a_report_is_written_again_wherever_somebody_wants_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> None:
        async with Journal.open(load().database_url) as opened:
            await analysed(opened)

    asyncio.run(fill())
    assert run(["report", "7f3a", "--to", str(tmp_path / "elsewhere")]) == ExitCode.HELD
    assert f"{tmp_path / 'elsewhere' / RUN}.html" in capsys.readouterr().out.splitlines()
    assert run(["report", "beef"]) == ExitCode.USAGE
    (tmp_path / "file").touch()
    assert run(["report", "7f3a", "--to", str(tmp_path / "file")]) == ExitCode.ERROR
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.browser
async def test_on_a_phone_nothing_lies_beside_the_page(journal: Journal, tmp_path: Path) -> None:
    from playwright.async_api import async_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    await analysed(journal)
    found, _, _ = await published(journal, tmp_path)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 360, "height": 800})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(found.page.as_uri())
        width = await page.evaluate("document.documentElement.scrollWidth")
        await browser.close()
    assert width <= 360
    assert asked == [found.page.as_uri()]
