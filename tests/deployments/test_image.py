"""The image is small, asks for what the lock pins, and runs where nothing may be written but /tmp."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.image import subset

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
RUNTIME = subset.needed(LOCK, subset.project((ROOT / "pyproject.toml").read_text(encoding="utf-8")))


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Containerfile with what it is given."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines()]
    return [(instruction, given) for instruction, _, given in found]


def last_stage() -> list[tuple[str, str]]:
    whole = instructions()
    begin = max(index for index, (instruction, _) in enumerate(whole) if instruction == "FROM")
    return whole[begin:]


def installed_needs(distribution: str, seen: set[str]) -> None:
    """Add to ``seen`` what ``distribution`` needs here, by what is installed; extras are left out."""
    for requirement in metadata.requires(distribution) or []:
        wanted = subset.name(requirement)
        if "extra ==" in requirement or wanted in seen:
            continue
        try:
            metadata.version(wanted)
        except metadata.PackageNotFoundError:
            continue  # for another platform or another Python
        seen.add(wanted)
        installed_needs(wanted, seen)


def test_what_runs_needs_nothing_that_is_left_out() -> None:
    kept = {one.name for one in subset.entries(RUNTIME)}
    needs = subset.project((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for root in tuple(needs):
        installed_needs(root, needs)
    assert needs <= kept


def test_what_only_tests_and_documentation_need_is_left_out() -> None:
    kept = {one.name for one in subset.entries(RUNTIME)}
    assert not kept & {"pytest", "mypy", "ruff", "sphinx", "playwright", "hypothesis", "scipy-stubs"}
    assert len(RUNTIME) < len(LOCK)


def test_every_entry_keeps_its_hashes() -> None:
    for one in subset.entries(RUNTIME):
        assert one.text in LOCK
        assert "--hash=sha256:" in one.text, one.name


def test_a_name_that_is_not_pinned_is_told() -> None:
    with pytest.raises(LookupError, match=r"not in requirements\.lock: nothing-like-it"):
        subset.needed(LOCK, {"nothing-like-it"})


def test_everything_is_installed_by_hash_and_no_index_is_named() -> None:
    runs = " ".join(given for instruction, given in instructions() if instruction == "RUN")
    for install in re.findall(r"install ([^&]*)", runs):
        assert "--no-deps" in install
        assert "--require-hashes" in install or "--no-index" in install
    assert "index-url" not in runs
    assert "apt-get" not in runs


def test_the_base_is_a_version_and_the_last_stage_installs_nothing() -> None:
    (base,) = [given for instruction, given in instructions() if instruction == "ARG"]
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.12-slim-\w+", base)
    assert [instruction for instruction, _ in last_stage() if instruction == "RUN"] == []


def test_nobody_is_root_and_what_is_written_goes_to_tmp() -> None:
    stage = dict(last_stage())
    assert stage["USER"] == "65532:65532"
    given = dict(one.split("=", 1) for one in stage["ENV"].split())
    assert {given[name].partition("/tmp")[0] for name in ("HOME", "GAMEDAY_STATE_DIR", "PREFECT_HOME")} == {
        ""
    }


def test_a_job_of_prefect_can_name_its_whole_command() -> None:
    text = (ROOT / "deployments" / "prefect" / "kubernetes-job.yaml").read_text(encoding="utf-8")
    template: dict[str, Any] = yaml.safe_load(text)
    manifest = template["job_configuration"]["job_manifest"]
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert "command" not in container, "its arguments are the command"
    assert "ENTRYPOINT" not in {instruction for instruction, _ in instructions()}


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for instruction, given in instructions():
        if instruction == "COPY" and "--from" not in given:
            for source in given.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source.partition("/")[0] in let_in, source
