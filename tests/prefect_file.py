"""Why: Prefect ignores keys of prefect.yaml that it does not know; these models do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

from prefect import Flow
from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule
from pydantic import BaseModel, ConfigDict, model_validator
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WorkPool(Strict):
    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = {}


class ConcurrencyLimit(Strict):
    limit: int
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class Schedule(Strict):
    slug: str
    cron: str | None = None
    rrule: str | None = None
    timezone: str  # Prefect takes UTC where it is missing, without a word
    active: bool = True
    parameters: dict[str, Any] = {}

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        """Prefect takes one of them."""
        if (self.cron is None) == (self.rrule is None):
            raise ValueError("a schedule is either cron or rrule")
        return self

    @property
    def as_prefect_reads_it(self) -> CronSchedule | RRuleSchedule:
        """The server's own model, which raises where it cannot be kept."""
        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        assert self.rrule is not None
        return RRuleSchedule(rrule=self.rrule, timezone=self.timezone)

    async def dates(self, begin: datetime, end: datetime) -> Sequence[datetime]:
        """When Prefect's server would start it."""
        found = await self.as_prefect_reads_it.get_dates(n=1000, start=begin, end=end)
        return [datetime.fromtimestamp(one.timestamp(), UTC) for one in found]


class Deployment(Strict):
    name: str
    description: str
    entrypoint: str
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    schedules: list[Schedule] = []
    work_pool: WorkPool
    concurrency_limit: ConcurrencyLimit | None = None

    @property
    def flow(self) -> Flow[..., Any]:
        """The flow that the entrypoint names."""
        path, _, function = self.entrypoint.partition(":")
        found = getattr(import_module(path.removesuffix(".py").replace("/", ".")), function)
        assert isinstance(found, Flow)
        return found

    @property
    def breaks(self) -> str:
        """The experiment or suite that it runs; "" for those that break nothing, or whatever is chosen."""
        return str(self.parameters.get("experiment") or self.parameters.get("suite") or "")


class PrefectFile(Strict):
    name: str
    definitions: dict[str, Any] = {}
    deployments: list[Deployment]


def declared() -> PrefectFile:
    """prefect.yaml, read strictly."""
    return PrefectFile.model_validate(YAML(typ="safe").load(ROOT / "prefect.yaml"))
