"""A name, a reason or a comment is one plain line wherever it is told, and never markup or a line of ours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from flows.safety_lever import markdown
from gameday.clients.kubernetes import Cluster
from gameday.clients.slack import Message
from gameday.clock import RemoteClock
from gameday.journal.approvals import Approvals, Decision
from gameday.report.templating import cell
from gameday.safety import lever
from gameday.safety.approval import Given, record
from gameday.settings import load
from gameday.typed import LONGEST, one_line
from tests.unit.test_approval_rules import AT, BOTH, approvals, request

__all__ = ["approvals"]

SLY = (
    "all is well\n*Approved by:* chief\x1b[2J\u202e <!channel> <https://evil.example.com|the report> "
    "| [report](https://evil.example.com) ![](https://evil.example.com/seen.png) <img src=x onerror=alert(1)>"
)


def test_it_is_one_line_without_what_steers_a_terminal() -> None:
    assert one_line(" it\tis\r\nback\x1b[2J\x07 \x9b31m\u202enow\u2028. ") == "it is back [2J 31m now ."
    assert one_line("Zoë O'Neil, ops (on call)") == "Zoë O'Neil, ops (on call)"
    assert len(one_line("a" * 100_000)) == LONGEST


def test_in_slack_it_mentions_nobody_links_nowhere_and_adds_no_field() -> None:
    lines = Message("Text", title=SLY, fields={"Reason": SLY, "Run": "7f3a"}).for_slack().splitlines()
    assert [line.split(":*")[0] for line in lines[1:]] == ["Text", "*Reason", "*Run"]
    assert not any("<" in line or ">" in line for line in lines)


def _shown(text: str) -> set[str]:
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)
    return {child.type for token in tokens for child in (token, *(token.children or ()))}


def test_on_a_page_it_is_text_and_neither_link_nor_picture_nor_html() -> None:
    turned = lever.Turned("engaged", SLY, SLY, "2026-11-23T10:15:30Z", SLY)
    state = lever.LeverState(
        engaged=True,
        by=SLY,
        reason=SLY,
        since=datetime(2026, 11, 23, tzinfo=UTC),
        source=SLY,
        history=(turned,),
    )
    for page in (cell(SLY), markdown(state, "staging")):
        assert not {"link_open", "image", "html_inline", "html_block"} & _shown(page)
        assert "\x1b" not in page
        assert "\u202e" not in page
    assert markdown(state, "staging").count("\n|") == 3


async def test_an_answer_is_kept_as_one_line(approvals: Approvals) -> None:
    asked = request()
    await approvals.ask(asked)
    found = await approvals.of(asked.request)
    assert found is not None
    kept = await record(
        approvals, found, Given("data\nteam\x1b[2J", Decision.APPROVE, SLY, confirmed=BOTH), AT
    )
    assert kept is not None
    assert kept.who == "data team [2J"
    assert kept.comment == one_line(SLY)


@pytest.mark.usefixtures("sandbox")
async def test_endless_reasons_never_fill_the_lever_up() -> None:
    async with Cluster.connect(clock=RemoteClock(str(load().clock_url))) as there:
        for turn in (lever.engage, lever.release) * lever.KEPT:
            await turn(
                there,
                "chaos-engineering",
                by="somebody",
                reason="\N{SNOWMAN} no " * 40_000,
                source="command",
                clock=there.api.clock,
            )
        state = await lever.read(there, "chaos-engineering")
        kept = await there.config_map("chaos-engineering", lever.NAME)
    assert len(state.history) == lever.KEPT
    # Half of what fits into a ConfigMap.
    assert sum(len(value) for value in kept.data.values()) < 500_000
