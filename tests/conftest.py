"""Why: tests share the costly things, a sandbox above all, and none of them touches its user's own.

Every test starts without anybody's ``GAMEDAY_*`` variables or kubeconfig and with a state directory
of its own. A sandbox is a process of its own on a free port: ``sandbox`` is fresh for each test that
breaks things, ``shared_sandbox`` serves all that only look.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest

from sandbox.process.launch import Sandbox, launch_temporary
from tests.databases import new_database, postgresql_server
from tests.grafana import TOKEN, GrafanaServer, catalogue_with, serving

StartSandbox = Callable[..., Sandbox]

# As for a command: what tests import lives as long as they do.
gc.set_threshold(20_000)


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority instead of all the world's: nothing here speaks with anybody outside.

    Each client reads them anew when it is made, in 20 ms, and a run makes dozens.
    """
    whole = Path(certifi.where()).read_text(encoding="ascii")
    end = "-----END CERTIFICATE-----"
    file = tmp_path_factory.mktemp("authority") / "one.pem"
    file.write_text(whole[whole.index("-----BEGIN") : whole.index(end)] + f"{end}\n", encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forget the settings of whoever runs the tests; returns the state directory of this test."""
    for name in list(os.environ):
        if name.startswith("GAMEDAY_") and not name.startswith("GAMEDAY_TEST_"):
            monkeypatch.delenv(name)
    # Whoever runs the tests in parallel has it set for workers that have no terminal.
    monkeypatch.delenv("COLUMNS", raising=False)
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("KUBECONFIG", str(state / "no-kubeconfig"))
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(state))
    return state


@pytest.fixture
def start_sandbox() -> Iterator[StartSandbox]:
    """Start sandboxes with any ``SandboxOptions``; they end with the test."""
    started: list[Sandbox] = []

    def start(**options: Any) -> Sandbox:
        sandbox = launch_temporary(**{"history": timedelta(minutes=2), **options})
        started.append(sandbox)
        return sandbox

    yield start
    for sandbox in started:
        sandbox.stop()


@pytest.fixture(scope="session")
def _session_sandbox() -> Iterator[Sandbox]:
    with launch_temporary() as sandbox:
        yield sandbox


def _point_at(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    return sandbox


@pytest.fixture
def sandbox(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A rehearsal sandbox for this test alone, two minutes old; the environment points at it."""
    return _point_at(start_sandbox(), monkeypatch)


@pytest.fixture
def shared_sandbox(_session_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The session's rehearsal sandbox, ten minutes old at its start; the environment points at it.

    Time passes in it as others sleep. Leave nothing behind: no fault, no lever moved.
    """
    return _point_at(_session_sandbox, monkeypatch)


@pytest.fixture
def grafana(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrafanaServer]:
    """A Grafana that the catalogue in force names; its token may mark what is broken in a sandbox, too."""
    with serving() as server:
        catalogue = catalogue_with(server, tmp_path_factory.mktemp("marked"))
        monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(catalogue))
        monkeypatch.setenv("GAMEDAY_GRAFANA_TOKEN", TOKEN)
        monkeypatch.setenv("GAMEDAY_GRAFANA_SANDBOX", "true")
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of this session's own."""
    with postgresql_server() as address:
        yield address


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database, once in SQLite and once in PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'sub' / 'journal.db'}"
    return new_database(request.getfixturevalue("postgresql"))
