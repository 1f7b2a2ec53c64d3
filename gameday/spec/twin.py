"""Why: how the embedded sandbox imitates a service is declared beside the service itself.

``ServiceTwin`` is a service's ``twin`` block in platform.yaml, ``Traffic`` the ``twin`` block at its
top. Nothing but the sandbox reads them: a real cluster behaves as it does. The defaults make a
small service of it, so that a platform of one's own needs no block to be rehearsed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gameday.spec.base import Duration, Model, Name

Share = Annotated[float, Field(ge=0, le=1)]


class Work(Model):
    """How long something takes when nothing is in its way: lognormal, by two of its quantiles."""

    median: Duration = timedelta(milliseconds=4)
    p95: Duration = timedelta(milliseconds=12)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not timedelta(0) < self.median <= self.p95:
            raise ValueError("expected 0 < median <= p95")
        return self


class Step(Model):
    """One thing that a route does; exactly one of ``call``, ``cached``, ``query``, ``file``, ``token``."""

    call: Annotated[Name | None, Field(description="the service asked, on its route `path`")] = None
    path: str = ""
    cached: Annotated[
        str | None, Field(description="what is looked up in the cache, and on a miss in the database")
    ] = None
    hit_ratio: Annotated[Share, Field(description="of a warm cache")] = 0.9
    query: Literal["read", "write"] | None = None
    cost: Annotated[
        float, Field(gt=0, description="of a query, also of the one on a miss, in plain queries")
    ] = 1
    file: Annotated[Literal["read", "write"] | None, Field(description="on the service's own disk")] = None
    token: Annotated[Literal["validate"] | None, Field(description="fails where the pod's clock is off")] = (
        None
    )
    fallback: Annotated[bool, Field(description="where the call fails, the route answers without it")] = False

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        given = [name for name in ("call", "cached", "query", "file", "token") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("expected exactly one of call, cached, query, file, token")
        if (self.call is None) != (not self.path):
            raise ValueError("call and path go together")
        return self


class Route(Model):
    """One thing that a service can be asked."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: Annotated[str, Field(pattern="^/")]
    share: Annotated[float, Field(ge=0, description="of the users' requests, as a weight")] = 0
    work: Work = Work()
    steps: tuple[Step, ...] = ()


class Breaker(Model):
    """A circuit breaker: of the last ``window`` calls, ``failures`` open it for a while."""

    window: Annotated[int, Field(ge=1)] = 20
    failures: Annotated[Share, Field(gt=0)] = 0.5
    open_for: Duration = timedelta(seconds=10)
    trials: Annotated[int, Field(ge=1, description="successes that close it again")] = 3


class Client(Model):
    """How a service calls another: how long it waits, how often it tries, when it stops trying."""

    timeout: Duration = timedelta(seconds=2)
    retries: Annotated[int, Field(ge=0)] = 2
    retry_budget: Annotated[Share, Field(description="retries, as a share of the calls")] = 0.2
    backoff: Duration = timedelta(milliseconds=50)
    concurrent: Annotated[int, Field(ge=1, description="calls at once from one pod: the bulkhead")] = 32
    breaker: Breaker | None = Breaker()


class Pool(Model):
    """The database connections of one pod."""

    size: Annotated[int, Field(ge=1)] = 10
    wait: Annotated[Duration, Field(description="for a free one")] = timedelta(seconds=2)


class ServiceTwin(Model):
    """How one service behaves in the sandbox."""

    kind: Literal["http", "database", "cache"] = "http"
    cpus: Annotated[float, Field(gt=0, description="the container's limit, in cores")] = 1.0
    memory_mib: Annotated[int, Field(ge=1, description="the working set at rest")] = 128
    memory_limit_mib: Annotated[int, Field(ge=1)] = 512
    workers: Annotated[int, Field(ge=1, description="requests or queries served at once")] = 32
    queue: Annotated[int, Field(ge=0, description="requests that wait for a worker")] = 128
    work: Annotated[Work, Field(description="of one query or command; of a store only")] = Work()
    disk: Annotated[str | None, Field(description="the path on which it keeps its data")] = None
    disk_mib: Annotated[int, Field(ge=0, description="of it, what is full at rest")] = 400
    disk_limit_mib: Annotated[int, Field(ge=1)] = 2048
    disk_reads: Annotated[Share, Field(description="of a store's reads, those that touch the disk")] = 0.3
    keeps_data: Annotated[
        bool, Field(description="of a database: a new pod finds the data of the one before it")
    ] = True
    routes: tuple[Route, ...] = ()
    clients: dict[Name, Client] = Field(default_factory=dict, description="by the service that is called")
    pool: Pool = Pool()


class Traffic(Model):
    """What users do, and how quickly the platform notices what happens to it."""

    entry: Annotated[Name | None, Field(description="the service that users ask; unset: the first")] = None
    requests_per_second: Annotated[float, Field(ge=0)] = 20
    patience: Annotated[Duration, Field(description="how long a user waits")] = timedelta(seconds=30)
    endpoint_lag: Annotated[Duration, Field(description="until others stop calling a pod that is gone")] = (
        timedelta(seconds=1)
    )
    dns_cache: Annotated[Duration, Field(description="how long a resolved name is kept")] = timedelta(
        seconds=30
    )
    token_lifetime: Duration = timedelta(minutes=15)
    clock_leeway: Annotated[Duration, Field(description="how far clocks may be apart")] = timedelta(
        seconds=60
    )
