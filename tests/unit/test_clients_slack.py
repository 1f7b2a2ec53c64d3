"""People hear of a run, or somebody reads why they could not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday.clients.slack import (
    LONGEST_TEXT,
    Message,
    Messenger,
    SlackBot,
    SlackWebhook,
    Terminal,
    attempt,
    messenger,
)
from gameday.errors import NotAllowedError, NotFoundError, OutsideError, RejectedError, UnreachableError
from gameday.settings import load
from sandbox.process.launch import Sandbox

CHANNEL = "#chaos-staging"


@pytest.fixture
def slack(shared_sandbox: Sandbox) -> Iterator[httpx.Client]:
    """The levers of the sandbox's Slack; mended and empty again after the test."""
    with httpx.Client(base_url=f"{shared_sandbox.url}/control/slack", trust_env=False) as client:
        client.delete("/messages").raise_for_status()
        yield client
        client.delete("/fault").raise_for_status()
        client.delete("/messages").raise_for_status()


@pytest.fixture
def bot(slack: httpx.Client) -> Messenger:
    del slack
    return messenger(load(), print)


def posted(slack: httpx.Client) -> list[dict[str, Any]]:
    answer: Any = slack.get("/messages").raise_for_status().json()
    found: list[dict[str, Any]] = answer["messages"] if isinstance(answer, dict) else answer
    return found


def break_slack(slack: httpx.Client, **fault: Any) -> None:
    slack.put("/fault", json=fault).raise_for_status()


async def test_a_run_is_one_thread_whose_head_is_kept_up_to_date(bot: Messenger, slack: httpx.Client) -> None:
    await bot.check()
    thread = await bot.open_thread(CHANNEL, Message("It begins.", title="basic-pod-failure"))
    await bot.reply(thread, Message("One pod is gone."))
    await bot.update(thread, Message("It held.", title="basic-pod-failure", fields={"Verdict": "held"}))
    head, reply = posted(slack)
    assert head["text"] == "*basic-pod-failure*\nIt held.\n*Verdict:* held"
    assert reply["text"] == "One pod is gone."
    assert reply["thread_ts"] == head["ts"] == thread.ts


async def test_what_slack_would_read_as_markup_is_shown_as_written(
    bot: Messenger, slack: httpx.Client
) -> None:
    link = ("Report <1>", "http://127.0.0.1/report?a=1&b=2")
    await bot.open_thread(CHANNEL, Message("<!channel> P95 > 10 s & rising", link=link))
    (head,) = posted(slack)
    assert head["text"] == (
        "&lt;!channel&gt; P95 &gt; 10 s &amp; rising\n<http://127.0.0.1/report?a=1&amp;b=2|Report &lt;1&gt;>"
    )


@pytest.mark.parametrize("text", ["x" * 10_000, "&" * 10_000, "x&" * 5_000])
def test_a_long_message_is_cut_between_characters_and_keeps_its_link(text: str) -> None:
    shown = Message(text, link=("Report", "http://report")).for_slack()
    assert len(shown) <= LONGEST_TEXT
    assert shown.endswith(" …\n<http://report|Report>")
    assert shown.replace("&amp;", "").count("&") == 0


async def test_a_busy_slack_is_asked_again(bot: Messenger, slack: httpx.Client) -> None:
    break_slack(slack, kind="ratelimited", retry_after=0, times=1)
    await bot.open_thread(CHANNEL, Message("It begins."))
    assert len(posted(slack)) == 1


@pytest.mark.parametrize(
    ("channel", "error", "hint"),
    [
        ("#no-such-channel", NotFoundError, "Create the channel"),
        ("#random", NotAllowedError, "/invite"),
        ("#old-incidents", NotFoundError, "archived"),
    ],
)
async def test_a_channel_that_cannot_be_used_says_how_to_mend_it(
    bot: Messenger, channel: str, error: type[OutsideError], hint: str
) -> None:
    with pytest.raises(error) as caught:
        await bot.open_thread(channel, Message("It begins."))
    assert hint in caught.value.hint


async def test_a_missing_scope_is_named(bot: Messenger, slack: httpx.Client) -> None:
    break_slack(slack, kind="error", error="missing_scope")
    with pytest.raises(NotAllowedError, match="missing_scope") as caught:
        await bot.check()
    assert "scope" in caught.value.hint


async def test_a_wrong_token_is_found_before_the_run(shared_sandbox: Sandbox) -> None:
    stranger = SlackBot("xoxb-somebody-else", base_url=shared_sandbox.env["GAMEDAY_SLACK_BASE_URL"])
    with pytest.raises(NotAllowedError) as caught:
        await stranger.check()
    assert "GAMEDAY_SLACK_TOKEN" in caught.value.hint


async def test_a_slack_that_never_answers_is_given_up(shared_sandbox: Sandbox, slack: httpx.Client) -> None:
    break_slack(slack, kind="stalling")
    impatient = SlackBot(
        shared_sandbox.env["GAMEDAY_SLACK_TOKEN"],
        base_url=shared_sandbox.env["GAMEDAY_SLACK_BASE_URL"],
        timeout=timedelta(milliseconds=100),
    )
    with pytest.raises(UnreachableError, match="no answer within"):
        await impatient.check()


async def test_a_failed_message_can_be_a_result_instead_of_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nobody = SlackBot("xoxb", base_url=f"http://127.0.0.1:{port}/api/", timeout=timedelta(seconds=1))
    delivery = await attempt(nobody.open_thread(CHANNEL, Message("It begins.")))
    assert not delivery.ok
    assert "Slack" in delivery.why
    assert delivery.thread is None


async def test_a_webhook_posts_one_after_the_other_and_never_edits(
    shared_sandbox: Sandbox, slack: httpx.Client
) -> None:
    webhook = SlackWebhook(f"{shared_sandbox.url}/slack/services/T0SANDBOX/B0WEBHOOK/sandbox")
    thread = await webhook.open_thread(CHANNEL, Message("It begins.", title="cache-unavailability"))
    await webhook.reply(thread, Message("redis is gone."))
    await webhook.update(thread, Message("It held."))
    assert [one["text"] for one in posted(slack)] == [
        "*cache-unavailability*\nIt begins.",
        "*cache-unavailability*\nredis is gone.",
    ]


async def test_a_webhook_that_is_not_in_use_any_more_says_so(shared_sandbox: Sandbox) -> None:
    webhook = SlackWebhook(f"{shared_sandbox.url}/slack/services/T0SANDBOX/B0GONE/nothing")
    with pytest.raises(RejectedError) as caught:
        await webhook.open_thread(CHANNEL, Message("It begins."))
    assert "GAMEDAY_SLACK_WEBHOOK_URL" in caught.value.hint


async def test_without_slack_the_terminal_shows_what_would_have_been_sent() -> None:
    said: list[str] = []
    terminal = messenger(load(), said.append)
    assert isinstance(terminal, Terminal)
    thread = await terminal.open_thread(CHANNEL, Message("It begins.", title="basic-pod-failure"))
    await terminal.reply(thread, Message("P95 > 1 s", link=("Report", "report.html")))
    assert said == [
        "#chaos-staging: basic-pod-failure\nIt begins.",
        "#chaos-staging > P95 > 1 s\nReport: report.html",
    ]


async def test_a_message_is_laid_out_in_blocks_and_nothing_in_it_is_markup(
    bot: Messenger, slack: httpx.Client
) -> None:
    sly = "<!channel> <http://evil.example.com|Report> *bold*"
    message = Message(
        sly * 200, title=sly, fields={f"Field {n}": sly for n in range(35)}, link=("Report", "http://r")
    )
    thread = await bot.open_thread(CHANNEL, message)
    await bot.update(thread, Message("Over", title="Done"))
    await bot.open_thread(CHANNEL, message)
    edited, posted_now = posted(slack)
    assert [block["type"] for block in edited["blocks"]] == ["header", "section"]
    kinds = [block["type"] for block in posted_now["blocks"]]
    assert kinds == ["header", "section", "section", "section", "section", "context"]
    texts = [posted_now["blocks"][1]["text"]["text"]]
    texts += [field["text"] for block in posted_now["blocks"] for field in block.get("fields", ())]
    assert not [text for text in texts if "<" in text]
    assert posted_now["blocks"][-1]["elements"][0]["text"] == "<http://r|Report>"


async def test_files_go_into_the_thread(bot: Messenger, slack: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "chart.png").write_bytes(b"\x89PNG")
    (tmp_path / "run.html").write_text("<p>run</p>")
    thread = await bot.open_thread(CHANNEL, Message("It held."))
    await bot.attach(thread, [tmp_path / "chart.png", tmp_path / "run.html"])
    head, files = posted(slack)
    assert (files["thread_ts"], len(files["files"])) == (head["ts"], 2)


async def test_a_file_that_cannot_be_sent_is_a_result_not_an_exception(
    bot: Messenger, tmp_path: Path
) -> None:
    thread = await bot.open_thread(CHANNEL, Message("It held."))
    delivery = await attempt(bot.attach(thread, [tmp_path / "missing.png"]))
    assert not delivery.ok
    assert "could not put files" in delivery.why
