"""The sandbox's Slack, held to what Slack's own SDK and Slack's reference expect of the real one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook import WebhookClient

from sandbox.process.launch import Sandbox

CHANNEL = "#chaos-staging"


@pytest.fixture
def slack_sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox with a Slack that has heard nothing yet, and works again afterwards."""
    control(shared_sandbox, "DELETE", "messages")
    yield shared_sandbox
    control(shared_sandbox, "DELETE", "fault")
    control(shared_sandbox, "DELETE", "scopes")


@pytest.fixture
def client(slack_sandbox: Sandbox) -> WebClient:
    env = slack_sandbox.env
    return WebClient(token=env["GAMEDAY_SLACK_TOKEN"], base_url=env["GAMEDAY_SLACK_BASE_URL"])


def control(sandbox: Sandbox, method: str, path: str, body: Any = None) -> Any:
    response = httpx.request(method, f"{sandbox.url}/control/slack/{path}", json=body, trust_env=False)
    response.raise_for_status()
    return response.json() if response.content else None


def refusal(call: Any, **arguments: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(**arguments)
    return str(caught.value.response["error"])


def test_a_token_is_told_who_it_is(client: WebClient) -> None:
    answer = client.auth_test()
    assert answer["ok"]
    assert answer["user"] == "gameday"
    assert answer["bot_id"]


def test_a_token_without_a_scope_is_refused_and_told_which(slack_sandbox: Sandbox, client: WebClient) -> None:
    control(slack_sandbox, "PUT", "scopes", {"scopes": ["chat:write"]})
    with pytest.raises(SlackApiError) as caught:
        client.conversations_list()
    answer = caught.value.response
    assert (answer["error"], answer["needed"], answer["provided"]) == (
        "missing_scope",
        "channels:read",
        "chat:write",
    )
    assert client.auth_test().headers["x-oauth-scopes"] == "chat:write"


def test_a_wrong_token_is_refused(slack_sandbox: Sandbox) -> None:
    stranger = WebClient(token="xoxb-stranger", base_url=slack_sandbox.env["GAMEDAY_SLACK_BASE_URL"])
    assert refusal(stranger.auth_test) == "invalid_auth"


def test_no_token_at_all_is_refused(slack_sandbox: Sandbox) -> None:
    response = httpx.post(f"{slack_sandbox.url}/slack/api/auth.test", trust_env=False)
    assert response.json() == {"ok": False, "error": "not_authed"}


def test_a_message_a_reply_and_a_correction_stay_in_one_thread(
    client: WebClient, slack_sandbox: Sandbox
) -> None:
    first = client.chat_postMessage(channel=CHANNEL, text="basic-pod-failure begins")
    reply = client.chat_postMessage(channel=first["channel"], text="injected", thread_ts=first["ts"])
    client.chat_update(channel=first["channel"], ts=first["ts"], text="basic-pod-failure: held")
    kept = control(slack_sandbox, "GET", f"messages?channel=chaos-staging&thread_ts={first['ts']}")
    assert [(message["ts"], message["text"], message["thread_ts"]) for message in kept] == [
        (first["ts"], "basic-pod-failure: held", None),
        (reply["ts"], "injected", first["ts"]),
    ]
    assert reply["message"]["thread_ts"] == first["ts"]


def test_every_message_has_a_time_of_its_own_although_time_stands_still(client: WebClient) -> None:
    stamps = [client.chat_postMessage(channel=CHANNEL, text=str(number))["ts"] for number in range(5)]
    assert sorted(set(stamps)) == stamps
    assert all(re.fullmatch(r"\d{10}\.\d{6}", stamp) for stamp in stamps)


@pytest.mark.parametrize("channel", ["#platform-team", "platform-team"])
def test_a_channel_is_known_by_its_name_with_or_without_hash(client: WebClient, channel: str) -> None:
    by_name = client.chat_postMessage(channel=channel, text="hello")
    assert client.conversations_info(channel=by_name["channel"])["channel"]["name"] == "platform-team"


@pytest.mark.parametrize(
    ("channel", "error"),
    [("#no-such", "channel_not_found"), ("#random", "not_in_channel"), ("#old-incidents", "is_archived")],
)
def test_a_channel_that_cannot_be_posted_to_says_why(client: WebClient, channel: str, error: str) -> None:
    assert refusal(client.chat_postMessage, channel=channel, text="hello") == error


def test_only_posting_takes_a_channels_name_everything_else_its_id(client: WebClient) -> None:
    posted = client.chat_postMessage(channel=CHANNEL, text="hello")
    assert refusal(client.chat_update, channel=CHANNEL, ts=posted["ts"], text="x") == "channel_not_found"
    assert refusal(client.conversations_info, channel=CHANNEL) == "channel_not_found"


def test_joining_a_channel_lets_one_post_there(sandbox: Sandbox) -> None:
    client = WebClient(
        token=sandbox.env["GAMEDAY_SLACK_TOKEN"], base_url=sandbox.env["GAMEDAY_SLACK_BASE_URL"]
    )
    channels = client.conversations_list(exclude_archived=True)["channels"]
    there = {channel["name"]: channel["id"] for channel in channels}
    assert "old-incidents" not in there
    client.conversations_join(channel=there["random"])
    assert client.chat_postMessage(channel="#random", text="hello")["ok"]


def test_a_long_list_of_channels_comes_in_pages(client: WebClient) -> None:
    names, pages = [], 0
    # The SDK's pages are one object that changes as one goes through them.
    for page in client.conversations_list(limit=4):
        pages += 1
        names += [channel["name"] for channel in page["channels"]]
    assert pages > 1
    assert {"general", "chaos-staging", "identity-team", "random"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": "x", "thread_ts": "0"}, "invalid_thread_ts"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "sektion"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        (
            {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "y" * 3001}}]},
            "invalid_blocks",
        ),
        (
            {"text": "x", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "no"}}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": "not JSON"}, "invalid_blocks_format"),
    ],
)
def test_a_message_that_slack_would_refuse_is_refused(
    client: WebClient, slack_sandbox: Sandbox, message: dict[str, Any], error: str
) -> None:
    assert refusal(client.chat_postMessage, channel=CHANNEL, **message) == error
    assert control(slack_sandbox, "GET", "messages") == []


def test_a_message_without_words_is_refused(client: WebClient) -> None:
    # Not by chat_postMessage, which warns of it before it asks.
    message = {"channel": CHANNEL, "text": ""}
    assert refusal(client.api_call, api_method="chat.postMessage", json=message) == "no_text"


def test_blocks_are_kept_as_they_were_sent(client: WebClient, slack_sandbox: Sandbox) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": "Held"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Run*\n7f3a"}]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "by gameday"}]},
        {"type": "divider"},
    ]
    client.chat_postMessage(channel=CHANNEL, text="Held", blocks=blocks)
    assert control(slack_sandbox, "GET", "messages")[0]["blocks"] == blocks


def test_a_reply_to_a_deleted_message_silently_becomes_a_message_of_its_own(client: WebClient) -> None:
    first = client.chat_postMessage(channel=CHANNEL, text="gone soon")
    client.chat_delete(channel=first["channel"], ts=first["ts"])
    reply = client.chat_postMessage(channel=CHANNEL, text="alone", thread_ts=first["ts"])
    assert "thread_ts" not in reply["message"]
    assert (
        refusal(client.chat_update, channel=first["channel"], ts=first["ts"], text="x") == "message_not_found"
    )


def test_a_reaction_is_added_once(client: WebClient) -> None:
    posted = client.chat_postMessage(channel=CHANNEL, text="hello")
    there = {"channel": posted["channel"], "timestamp": posted["ts"]}
    assert client.reactions_add(name="white_check_mark", **there)["ok"]
    assert refusal(client.reactions_add, name="white_check_mark", **there) == "already_reacted"


def test_a_report_is_uploaded_and_posted(client: WebClient, slack_sandbox: Sandbox) -> None:
    first = client.chat_postMessage(channel=CHANNEL, text="report follows")
    uploaded = client.files_upload_v2(
        channel=first["channel"],
        thread_ts=first["ts"],
        filename="report.md",
        content="# Held\n",
        title="Report",
        initial_comment="The report",
    )
    file = uploaded["file"]["id"]
    posted = control(slack_sandbox, "GET", "messages")[-1]
    assert (posted["text"], posted["files"], posted["thread_ts"]) == ("The report", [file], first["ts"])
    content = httpx.get(f"{slack_sandbox.url}/control/slack/files/{file}", trust_env=False)
    assert content.text == "# Held\n"


def test_a_file_that_never_arrived_cannot_be_shared(client: WebClient) -> None:
    promised = client.files_getUploadURLExternal(filename="report.md", length=10)
    files = [{"id": promised["file_id"], "title": "Report"}]
    assert refusal(client.files_completeUploadExternal, files=files) == "file_not_found"


def test_the_bots_own_user_is_known(client: WebClient) -> None:
    user = client.auth_test()["user_id"]
    assert client.users_info(user=user)["user"]["is_bot"]
    assert refusal(client.users_info, user="U404") == "user_not_found"


def test_a_method_that_slack_does_not_have_is_refused(client: WebClient) -> None:
    assert refusal(client.api_call, api_method="chat.shout") == "unknown_method"


def test_a_webhook_posts_to_its_channel_and_knows_a_bad_payload(slack_sandbox: Sandbox) -> None:
    url = f"{slack_sandbox.url}/slack/services/T0SANDBOX/B0WEBHOOK/sandbox"
    webhook = WebhookClient(url)
    assert (webhook.send(text="by webhook").status_code, webhook.send(text="again").body) == (200, "ok")
    kept = control(slack_sandbox, "GET", "messages?channel=chaos-staging")
    assert [(message["text"], message["by_webhook"]) for message in kept] == [
        ("by webhook", True),
        ("again", True),
    ]
    assert (webhook.send(text="").status_code, webhook.send(text="").body) == (400, "no_text")
    elsewhere = WebhookClient(f"{slack_sandbox.url}/slack/services/T1/B1/wrong").send(text="x")
    assert (elsewhere.status_code, elsewhere.body) == (404, "no_service")


async def test_the_async_client_posts_too(slack_sandbox: Sandbox) -> None:
    env = slack_sandbox.env
    client = AsyncWebClient(token=env["GAMEDAY_SLACK_TOKEN"], base_url=env["GAMEDAY_SLACK_BASE_URL"])
    answers = await asyncio.gather(
        *(client.chat_postMessage(channel=CHANNEL, text=str(number)) for number in range(10))
    )
    assert len({answer["ts"] for answer in answers}) == 10


async def test_a_rate_limit_is_waited_for_and_then_the_message_arrives(slack_sandbox: Sandbox) -> None:
    env = slack_sandbox.env
    client = AsyncWebClient(
        token=env["GAMEDAY_SLACK_TOKEN"],
        base_url=env["GAMEDAY_SLACK_BASE_URL"],
        retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=2)],
    )
    control(slack_sandbox, "PUT", "fault", {"kind": "ratelimited", "retry_after": 0, "times": 2})
    assert (await client.chat_postMessage(channel=CHANNEL, text="at last"))["ok"]
    assert [message["text"] for message in control(slack_sandbox, "GET", "messages")] == ["at last"]


def test_a_rate_limit_without_patience_is_an_error(client: WebClient, slack_sandbox: Sandbox) -> None:
    control(slack_sandbox, "PUT", "fault", {"kind": "ratelimited", "retry_after": 30})
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=CHANNEL, text="x")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["retry-after"] == "30"


def test_slack_can_be_made_to_fail_one_method_by_name(client: WebClient, slack_sandbox: Sandbox) -> None:
    fault = {"kind": "error", "error": "fatal_error", "methods": ["chat.postMessage"]}
    control(slack_sandbox, "PUT", "fault", fault)
    assert refusal(client.chat_postMessage, channel=CHANNEL, text="x") == "fatal_error"
    assert client.auth_test()["ok"]


def test_slack_can_be_down(client: WebClient, slack_sandbox: Sandbox) -> None:
    control(slack_sandbox, "PUT", "fault", {"kind": "unavailable"})
    with pytest.raises(SlackApiError) as caught:
        client.auth_test()
    assert caught.value.response.status_code == 503


async def test_a_stalled_call_goes_on_when_slack_is_mended(slack_sandbox: Sandbox) -> None:
    env = slack_sandbox.env
    client = AsyncWebClient(token=env["GAMEDAY_SLACK_TOKEN"], base_url=env["GAMEDAY_SLACK_BASE_URL"])
    control(slack_sandbox, "PUT", "fault", {"kind": "stalling", "times": 1})
    stalled = asyncio.create_task(client.chat_postMessage(channel=CHANNEL, text="patience"))
    # The stalled call was counted: the next one is answered.
    while control(slack_sandbox, "GET", "fault")["kind"] == "stalling":  # noqa: ASYNC110 - another process
        await asyncio.sleep(0)
    assert not stalled.done()
    control(slack_sandbox, "DELETE", "fault")
    assert (await stalled)["ok"]


def test_a_lever_that_does_not_exist_is_refused(slack_sandbox: Sandbox) -> None:
    url = f"{slack_sandbox.url}/control/slack/fault"
    response = httpx.put(url, json={"kind": "grumpy"}, trust_env=False)
    assert response.status_code == 422
