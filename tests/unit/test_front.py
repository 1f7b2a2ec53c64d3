"""A request to the platform's front door is answered, or not, and goes nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from gameday.clients.front import Answer, FrontDoor, NoAnswer, front_url
from gameday.clients.loopback import is_loopback
from gameday.clock import SystemClock
from gameday.settings import load
from gameday.spec.platform import Environment
from gameday.spec.probes import HttpRequest
from tests.unit.test_clients_prometheus import serving

HEARD: list[str] = []


async def _well(request: Request) -> Response:
    HEARD.append(f"{request.method} {request.url.path} {request.headers.get('authorization', '-')}")
    return PlainTextResponse("all is well")


async def _elsewhere(request: Request) -> Response:
    return RedirectResponse("http://169.254.169.254/latest/meta-data")


async def _long(request: Request) -> Response:
    return PlainTextResponse("x" * 300_000 + "end")


async def _never(request: Request) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return PlainTextResponse("too late")


ROUTES = [
    Route("/below/well", _well, methods=["GET", "POST"]),
    Route("/below/elsewhere", _elsewhere),
    Route("/below/long", _long),
    Route("/below/never", _never),
]


@pytest.fixture
async def front() -> AsyncIterator[FrontDoor]:
    HEARD.clear()
    async with (
        serving(Starlette(routes=ROUTES)) as url,
        FrontDoor(url + "/below/", clock=SystemClock()) as door,
    ):
        assert is_loopback(door.url)
        yield door


def wanted(path: str = "/well", **more: object) -> HttpRequest:
    return HttpRequest.model_validate({"path": path, **more})


async def test_an_answer_comes_with_the_time_that_it_took(front: FrontDoor) -> None:
    answer = await front.ask(wanted())
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, "all is well")
    assert timedelta(0) < answer.took < timedelta(seconds=2)


async def test_a_redirect_is_an_answer_and_leads_nowhere(front: FrontDoor) -> None:
    answer = await front.ask(wanted("/elsewhere"))
    assert isinstance(answer, Answer)
    assert answer.status == 307
    assert not wanted("/elsewhere").good(answer.status, answer.body)


async def test_only_the_beginning_of_a_long_answer_is_read(front: FrontDoor) -> None:
    answer = await front.ask(wanted("/long"))
    assert isinstance(answer, Answer)
    assert len(answer.body) == 64 * 1024


async def test_who_does_not_answer_in_time_was_asked_and_failed(front: FrontDoor) -> None:
    assert await front.ask(wanted("/never", timeout="100ms")) == NoAnswer("no answer within 100ms", late=True)


async def test_a_door_that_is_shut_was_asked_and_failed() -> None:
    async with FrontDoor("http://127.0.0.1:9", clock=SystemClock()) as door:
        answer = await door.ask(wanted())
    assert isinstance(answer, NoAnswer)
    assert answer.asked
    assert answer.why.startswith("ConnectError")


async def test_a_secret_is_taken_from_its_variable_or_nothing_is_asked(
    front: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = wanted(method="POST", headers={"Authorization": "PROBE_AUTHORIZATION"}, body="{}")
    assert await front.ask(request) == NoAnswer("the variable PROBE_AUTHORIZATION is not set", asked=False)
    monkeypatch.setenv("PROBE_AUTHORIZATION", "Bearer of-a-probe-1")
    assert isinstance(await front.ask(request), Answer)
    assert HEARD == ["POST /below/well Bearer of-a-probe-1"]


async def test_where_no_address_is_declared_nothing_is_asked() -> None:
    async with FrontDoor(None, clock=SystemClock()) as door:
        answer = await door.ask(wanted())
    assert isinstance(answer, NoAnswer)
    assert not answer.asked
    assert "no url is declared" in answer.why


@pytest.mark.parametrize(
    ("status", "contains", "found", "good"),
    [
        ([], "", (204, ""), True),
        ([], "", (301, ""), False),
        (401, "", (401, ""), True),
        ([200, 404], "", (500, ""), False),
        ([], "well", (200, "all is well"), True),
        ([], "well", (200, "ill"), False),
    ],
)
def test_a_good_answer_has_the_status_and_the_text_that_are_wanted(
    status: object, contains: str, found: tuple[int, str], good: bool
) -> None:
    assert wanted(status=status, contains=contains).good(*found) is good


@pytest.mark.parametrize(
    "path", ["health", "//example.com/", "http://example.com", "/\\example.com", "/a b", "/a#b", ""]
)
def test_a_path_cannot_lead_to_another_host(path: str) -> None:
    with pytest.raises(ValidationError, match="no other host"):
        wanted(path)


@pytest.mark.parametrize("timeout", ["0s", "6s"])
def test_a_request_has_at_most_five_seconds(timeout: str) -> None:
    with pytest.raises(ValidationError, match="at most 5s"):
        wanted(timeout=timeout)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("staging.example.com", "such as https://"),
        ("ftp://staging.example.com", "such as https://"),
        ("https://staging.example.com/?q=1", "such as https://"),
        ("https://me:secret-1@staging.example.com", "must not hold a name or a password"),
        ("http://169.254.169.254", "link-local"),
    ],
)
def test_an_environment_declares_an_address_of_the_platform(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        _environment(url)
    assert "secret-1" not in str(caught.value)


def _environment(url: str | None) -> Environment:
    known = {"name": "staging", "namespace": "n", "channel": "#c", "url": url}
    return Environment.model_validate(known)


def test_a_variable_goes_before_the_declaration_so_that_a_rehearsal_stays_in_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared = _environment("https://staging.example.com/")
    assert front_url(load(), declared) == "https://staging.example.com"
    monkeypatch.setenv("GAMEDAY_PLATFORM_URL", "http://127.0.0.1:1/platform")
    assert front_url(load(), declared) == "http://127.0.0.1:1/platform"
    assert front_url(load(), _environment(None)) == "http://127.0.0.1:1/platform"
