"""Whatever people write into a file, they get every mistake with its line; and nothing starts by it."""

from __future__ import annotations

import asyncio
import copy
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gameday.cli.main import run
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import DeclarationError, ExitCode, UsageError
from gameday.spec.catalogue import Catalogue, default_directory

FILES = ("basic-pod-failure", "network-resilience", "guardrails", "platform")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        [
            "5m",
            "-5m",
            "1e400s",
            "> 10",
            "NaN",
            "all",
            "*",
            "2026-13-45",
            "25:99",
            "Europe/Nowhere",
            "{{",
            "\x00",
        ]
    ),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
)


def documents(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(default_directory() / f"{name}.yaml")
    return loaded


def places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document at which something stands."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


@st.composite
def spoilt(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A file of the catalogue in which up to three things were changed, removed or added."""
    document = copy.deepcopy(documents(name))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(places(document))))
        parent: Any = document
        for step in place[:-1]:
            parent = parent[step]
        match draw(st.sampled_from(["change", "remove", "add"])):
            case "change":
                parent[place[-1]] = draw(VALUES)
            case "remove":
                del parent[place[-1]]
            case "add" if isinstance(parent, dict):
                parent[draw(st.text(max_size=12))] = draw(VALUES)
            case _:
                parent.append(draw(VALUES))
    return document


def catalogue(directory: Path, name: str, document: dict[str, Any]) -> Path:
    """The catalogue that comes along, with one of its files replaced."""
    for declared in default_directory().glob("*.yaml"):
        (directory / declared.name).write_bytes(declared.read_bytes())
    with (directory / f"{name}.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(document, file)
    return directory


def refusal(directory: Path) -> UsageError | None:
    """What is wrong with the catalogue in ``directory``, if anything."""
    found = Catalogue(directory)
    try:
        for experiment in FILES[:2]:
            found.experiment(experiment)
        _ = found.guardrails, found.platform
    except UsageError as error:
        return error
    return None


@pytest.mark.parametrize("name", FILES)
def test_a_spoilt_file_is_taken_or_its_mistakes_are_told_with_file_and_line(name: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(document=spoilt(name))
    def check(document: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            error = refusal(catalogue(Path(directory), name, document))
            if isinstance(error, DeclarationError):
                assert all(re.match(r".+\.yaml:\d+: ", problem) for problem in error.problems)
                assert directory in error.message
            assert error is None or error.message

    check()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_at_all_are_a_message_and_no_traceback(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "anything.yaml"
        file.write_bytes(content)
        assert run(["validate", str(file)]) in {ExitCode.HELD, ExitCode.USAGE}


@pytest.mark.usefixtures("sandbox")
def test_no_fault_is_started_by_a_file_that_does_not_validate() -> None:
    @settings(derandomize=True, deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
    @given(document=spoilt("basic-pod-failure"))
    def check(document: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            where = catalogue(Path(directory), "basic-pod-failure", document)
            try:
                Catalogue(where).experiment("basic-pod-failure")
            except DeclarationError:
                arguments = ["--experiments", directory, "--reason", "a file like this"]
                assert run(["run", "basic-pod-failure", *arguments]) == ExitCode.USAGE

    check()
    assert asyncio.run(live()) == 0


async def live() -> int:
    async with Cluster.connect(clock=SystemClock()) as cluster:
        census = await ChaosMesh(cluster.api).live()
    assert census.complete
    return len(census.objects)
