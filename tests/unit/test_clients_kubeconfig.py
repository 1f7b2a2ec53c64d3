"""Where the cluster cannot be reached, a person reads one sentence that says why and what to do."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import UnreachableError, UsageError

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: {current}
contexts:
  - {{name: pyairtable-staging, context: {{cluster: here, user: somebody}}}}
  - {{name: pyairtable-production, context: {{cluster: nowhere, user: somebody}}}}
clusters:
  - {{name: here, cluster: {{server: "{server}"}}}}
users:
  - {{name: somebody, user: {user}}}
"""

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    def written(
        text: str = KUBECONFIG,
        *,
        current: str = "pyairtable-staging",
        server: str = "http://127.0.0.1:1",
        user: str = "{token: t}",
    ) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(text.format(current=current, server=server, user=user), "utf-8")
        monkeypatch.setenv("KUBECONFIG", str(path))

    return written


async def connect(context: str | None = None) -> None:
    async with Cluster.connect(context, clock=SystemClock(), call_timeout=timedelta(seconds=1)):
        pytest.fail("connected to nothing")


async def test_no_kubeconfig_at_all_names_the_file_and_the_sandbox() -> None:
    with pytest.raises(UsageError, match="no-kubeconfig does not exist") as caught:
        await connect()
    assert "gameday sandbox up" in caught.value.hint


async def test_an_unknown_context_lists_those_there_are(write: Write) -> None:
    write()
    with pytest.raises(UsageError, match="no context 'pyairtable-stagin'") as caught:
        await connect("pyairtable-stagin")
    assert "Did you mean 'pyairtable-staging'?" in caught.value.hint
    assert "pyairtable-production, pyairtable-staging" in caught.value.hint


async def test_no_current_context_lists_those_there_are(write: Write) -> None:
    write(current="''")
    with pytest.raises(UsageError, match="no current context") as caught:
        await connect()
    assert "pyairtable-staging" in caught.value.hint


async def test_a_context_without_its_cluster_says_what_is_missing(write: Write) -> None:
    write()
    with pytest.raises(UsageError, match="nowhere"):
        await connect("pyairtable-production")


@pytest.mark.parametrize("text", ["just words", "", "- a\n- list"])
async def test_a_file_that_is_no_kubeconfig_is_called_that(write: Write, text: str) -> None:
    write(text)
    with pytest.raises(UsageError, match="is not a kubeconfig"):
        await connect()


async def test_broken_yaml_is_called_that(write: Write) -> None:
    write("contexts: [")
    with pytest.raises(UsageError, match="is not valid YAML"):
        await connect()


async def test_a_credential_plugin_that_fails_is_not_passed_over(write: Write, tmp_path: Path) -> None:
    plugin = tmp_path / "login"
    plugin.write_text("#!/bin/sh\necho please log in >&2\nexit 1\n", "utf-8")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    write(user=f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {plugin}}}}}")
    with pytest.raises(UsageError, match="credential plugin") as caught:
        await connect()
    assert "log in" in caught.value.hint


async def test_a_cluster_that_is_not_there_is_named_with_its_address(write: Write) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    write(server=f"http://127.0.0.1:{port}")
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{port} did not answer") as caught:
        await connect()
    assert caught.value.hint


async def test_a_server_that_accepts_and_never_answers_is_given_up(write: Write) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        write(server=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
            async with Cluster.connect(clock=SystemClock(), call_timeout=timedelta(milliseconds=50)):
                pytest.fail("connected to a wall")
