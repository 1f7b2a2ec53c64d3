"""Why: behaviours of an API server are written once and held against the sandbox's and against a real one.

``api_server`` is the sandbox, and also the cluster of ``GAMEDAY_TEST_KUBECONFIG`` where that is set.
``ClusterInHand`` is a cluster without HTTP, whose time a test moves itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from kubernetes import client, config
from starlette.applications import Starlette
from starlette.routing import Mount

import sandbox as sandbox_package
from gameday.spec.loader import parse, read
from gameday.spec.platform import Platform as PlatformSpec
from sandbox.chaosmesh.installation import ChaosMeshOptions
from sandbox.kubernetes.bodies import Call
from sandbox.kubernetes.cluster import Cluster
from sandbox.kubernetes.errors import ApiError
from sandbox.kubernetes.resources import PODS, Resource
from sandbox.wiring import Injection, PodRef, ScrapeTarget
from sandbox.world import World

Json = dict[str, Any]
EPOCH = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
NAMESPACE = "pyairtable-staging"
CHAOS = "chaos-engineering"
CHAOS_MESH = "chaos-mesh.org"
USER = Call(user="gameday", strictness="Strict")
_PATIENCE_S = 30.0
REAL = os.environ.get("GAMEDAY_TEST_KUBECONFIG", "")


@dataclass
class RecordingTwin:
    """A platform that only remembers what the cluster told it."""

    started: list[PodRef] = field(default_factory=list)
    ready: set[PodRef] = field(default_factory=set)
    gone: list[PodRef] = field(default_factory=list)
    crashed: list[PodRef] = field(default_factory=list)
    acting: dict[str, Injection] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    on_death: Callable[[PodRef, str], None] = lambda _ref, _why: None

    def pod_started(self, pod: PodRef) -> None:
        """Remember it."""
        self.started.append(pod)

    def pod_ready(self, pod: PodRef) -> None:
        """It gets traffic."""
        self.ready.add(pod)

    def pod_unready(self, pod: PodRef) -> None:
        """It gets none."""
        self.ready.discard(pod)

    def pod_crashed(self, pod: PodRef) -> None:
        """Remember it."""
        self.ready.discard(pod)
        self.crashed.append(pod)

    def pod_gone(self, pod: PodRef) -> None:
        """Remember it."""
        self.ready.discard(pod)
        self.gone.append(pod)

    def inject(self, injection: Injection) -> None:
        """The fault acts."""
        self.acting[injection.id] = injection

    def recover(self, injection_id: str) -> None:
        """It acts no longer."""
        self.acting.pop(injection_id, None)

    def health(self, pod: PodRef) -> int:
        """What the test says."""
        return self.statuses.get(pod.name, 200)

    def on_container_death(self, callback: Callable[[PodRef, str], None]) -> None:
        """Remember whom to tell."""
        self.on_death = callback

    def scrape(self) -> tuple[ScrapeTarget, ...]:
        """Nothing."""
        return ()


def platform_spec() -> PlatformSpec:
    """The catalogue's own platform."""
    return parse(
        read(Path(sandbox_package.__file__).parents[1] / "experiments" / "platform.yaml"), PlatformSpec
    )


class ClusterInHand:
    """A cluster in this process: calls are calls, and time moves when the test says so."""

    def __init__(self, *, seed: int = 1, options: ChaosMeshOptions | None = None) -> None:
        self.world = World(seed=seed, epoch=EPOCH)
        self.twin = RecordingTwin()
        self.cluster = Cluster(
            self.world, platform_spec(), self.twin, namespace=NAMESPACE, chaos_mesh=options
        )
        self.api = self.cluster.api
        self.store = self.cluster.store
        self.levers = self.cluster.chaos_mesh.levers

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.world.advance_to(self.world.elapsed + seconds)

    def resource(self, kind: str) -> Resource:
        """The resource of a Chaos Mesh kind."""
        found = self.api.registry.of_kind(CHAOS_MESH, kind)
        assert found is not None
        return found

    def pods(self, app: str, namespace: str = NAMESPACE) -> list[Json]:
        """The pods with that ``app`` label."""
        return [p for p in self.store.all(PODS, namespace) if p["metadata"]["labels"].get("app") == app]

    def create(
        self, kind: str, spec: Json, name: str = "fault", *, call: Call = USER, **metadata: Any
    ) -> Json:
        """Create a chaos object as a user does, and let what is due happen."""
        body = {
            "apiVersion": f"{CHAOS_MESH}/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        made = self.api.create(self.resource(kind), CHAOS, json.loads(json.dumps(body)), call)
        self.world.settle()
        return made

    def find(self, kind: str, name: str = "fault") -> Json | None:
        """The newest version of a chaos object."""
        return self.store.get(self.resource(kind), CHAOS, name)

    def get(self, kind: str, name: str = "fault") -> Json:
        """The newest version of a chaos object, which must be there."""
        return self.api.get(self.resource(kind), CHAOS, name)

    def delete(self, kind: str, name: str = "fault") -> None:
        """Delete a chaos object as a user does."""
        self.cluster.deleter.delete(self.resource(kind), CHAOS, name)
        self.world.settle()

    def patch(self, kind: str, patch: Json, name: str = "fault") -> None:
        """Merge a patch into a chaos object as a user does."""
        merge = "application/merge-patch+json"
        self.api.patch(self.resource(kind), CHAOS, name, patch, merge, USER)
        self.world.settle()

    def records(self, kind: str, name: str = "fault") -> list[Json]:
        """The records of a chaos object."""
        found: list[Json] = (
            self.get(kind, name).get("status", {}).get("experiment", {}).get("containerRecords", [])
        )
        return found

    def conditions(self, kind: str, name: str = "fault") -> dict[str, str]:
        """The conditions of a chaos object."""
        return {c["type"]: c["status"] for c in self.get(kind, name).get("status", {}).get("conditions", [])}

    def refusal(self, kind: str, spec: Json, *, call: Call = USER, **metadata: Any) -> ApiError:
        """The refusal that creating this meets."""
        with pytest.raises(ApiError) as caught:
            self.create(kind, spec, call=call, **metadata)
        return caught.value


@pytest.fixture
def cluster_in_hand() -> ClusterInHand:
    return ClusterInHand()


@dataclass(frozen=True)
class Answer:
    """What an API server answered."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> str:
        """The message of a Status."""
        return str(self.body["message"])


class ApiServer:
    """An API server behind HTTP: the sandbox's, or that of a real cluster."""

    def __init__(self, kubeconfig: Path, *, control: str = "") -> None:
        self.kubeconfig = kubeconfig
        self.control = control
        self.configuration = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=self.configuration)  # type: ignore[no-untyped-call]  # untyped in the client
        self._client = client.ApiClient(self.configuration)
        self._numbers = itertools.count()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
        raw: bytes | None = None,
        url: str = "",
    ) -> Answer:
        """Call as any HTTP client would, with the kubeconfig's credentials."""
        headers = {"Content-Type": content, "Accept": accept, **self._client.default_headers}
        for auth in dict[str, Any](self.configuration.auth_settings()).values():
            headers[str(auth["key"])] = str(auth["value"])
        sent = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        pool = self._client.rest_client.pool_manager
        response = pool.request(method, (url or self.configuration.host) + path, body=sent, headers=headers)
        text = response.data.decode()
        streamed = "watch=true" in path and response.status == 200
        is_json = "json" in response.headers.get("content-type", "") and not streamed
        return Answer(response.status, json.loads(text) if is_json else text, response.headers)

    def lever(self, path: str, body: Any = None, method: str = "POST") -> Answer:
        """Pull a lever of the sandbox."""
        answer = self.call(method, path, body or {}, url=self.control)
        assert answer.status == 200, answer.body
        return answer

    def new_namespace(self) -> str:
        """Create a namespace of one's own."""
        name = f"contract-{os.getpid()}-{time.time_ns() % 10**9}-{next(self._numbers)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        assert self.call("POST", "/api/v1/namespaces", body).status == 201
        return name

    def watch(self, path: str) -> list[Json]:
        """The events of a watch that ends by its own time-out."""
        answer = self.call("GET", path)
        return [json.loads(line) for line in answer.body.splitlines()] if answer.body else []

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.pool_manager.clear()


def eventually(look: Callable[[], Any], *, what: str) -> Any:
    """The first true answer of ``look``; fails where there is none."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about")


@contextlib.contextmanager
def served(directory: Path, *, speed: float = 20.0) -> Iterator[ApiServer]:
    """Serve a sandbox cluster on a free port, its time running ``speed`` times as fast as real time."""
    world = World(seed=1, epoch=EPOCH)
    cluster = Cluster(world, platform_spec(), RecordingTwin(), namespace=NAMESPACE)

    @contextlib.asynccontextmanager
    async def pumping(_: Starlette) -> AsyncIterator[None]:
        began = time.monotonic()

        async def pump() -> None:
            while True:
                await asyncio.sleep(0.01)
                world.advance_to((time.monotonic() - began) * speed)

        task = asyncio.create_task(pump())
        yield
        task.cancel()

    app = Starlette(
        routes=[
            Mount("/kubernetes", app=cluster.app),
            Mount("/control/kubernetes", app=cluster.control),
        ],
        lifespan=pumping,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox")
    thread.start()
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "sandbox", "cluster": {"server": f"{url}/kubernetes"}}],
                "users": [{"name": "sandbox", "user": {"token": "sandbox"}}],
                "contexts": [
                    {
                        "name": "sandbox",
                        "context": {"cluster": "sandbox", "user": "sandbox", "namespace": NAMESPACE},
                    }
                ],
                "current-context": "sandbox",
            }
        )
    )
    kubeconfig.chmod(0o600)
    eventually(lambda: server.started, what="the sandbox's start")
    api = ApiServer(kubeconfig, control=f"{url}/control/kubernetes")
    try:
        yield api
    finally:
        api.close()
        cluster.close()
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The sandbox's API server, and only it."""
    with served(tmp_path_factory.mktemp("kubernetes")) as api:
        yield api


# A parameter that is not there leaves no hundred lines of skipped tests behind.
_SERVERS = ["sandbox", *([pytest.param("cluster", marks=pytest.mark.cluster)] if REAL else [])]


@pytest.fixture(scope="module", params=_SERVERS)
def api_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """The sandbox's API server, then a real one where ``GAMEDAY_TEST_KUBECONFIG`` names it."""
    if request.param == "sandbox":
        with served(tmp_path_factory.mktemp("kubernetes")) as api:
            yield api
        return
    api = ApiServer(Path(REAL))
    yield api
    api.close()


@pytest.fixture
def own_namespace(api_server: ApiServer) -> Iterator[str]:
    """A namespace for this test alone."""
    name = api_server.new_namespace()
    yield name
    api_server.call("DELETE", f"/api/v1/namespaces/{name}")
