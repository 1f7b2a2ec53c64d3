"""What prefect.yaml promises: the whole catalogue, as often as it asks for, when people are at work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import jsonschema  # type: ignore[import-untyped]  # it has no types, and their stubs are not in the lock
import pytest

from gameday.run.suite import pause
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from tests.prefect_file import Deployment, declared

CATALOGUE = Catalogue()
DEPLOYMENTS = {one.name: one for one in declared().deployments}
BREAKING = [one for one in DEPLOYMENTS.values() if one.breaks]
HOUR = timedelta(hours=1)
# A quarter that is over: none of its days is in a freeze that is still to come.
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
# Between two of them, in days: the shortest and the longest.
DAYS = {"weekly": (7, 7), "every-second-week": (14, 14), "monthly": (28, 35)}
# What a run takes beside its faults and its recovery: looks, approval, baseline, report.
AROUND = timedelta(minutes=10)


@dataclass(frozen=True)
class Slot:
    begins: datetime
    ends: datetime
    name: str


def members(deployment: Deployment) -> list[Experiment]:
    """The experiments that one run of ``deployment`` carries out."""
    if deployment.breaks in CATALOGUE.suites:
        return [part.experiment for part in CATALOGUE.parts(CATALOGUE.suite(deployment.breaks))]
    return [CATALOGUE.experiment(deployment.breaks)]


def longest(deployment: Deployment) -> timedelta:
    """How long one run of it can take."""
    found = members(deployment)
    each = sum((one.duration + one.recovery.timeout for one in found), AROUND)
    if deployment.breaks not in CATALOGUE.suites:
        return each
    suite = CATALOGUE.suite(deployment.breaks)
    between = pause(suite, CATALOGUE, deployment.parameters["environment"]) + suite.between.timeout
    return each + (len(found) - 1) * between


async def slots() -> list[Slot]:
    """Everything that is broken in the quarter, in order."""
    found = [
        Slot(begins, begins + longest(one), one.name)
        for one in BREAKING
        for schedule in one.schedules
        if schedule.active
        for begins in await schedule.dates(BEGIN, END)
    ]
    return sorted(found, key=lambda slot: slot.begins)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_what_is_deployed_is_a_flow_that_takes_what_it_is_given(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    schema = deployment.flow.parameters.model_dump(by_alias=True)
    assert set(deployment.parameters) <= set(schema["properties"])
    given = {key: schema["properties"][key] for key in deployment.parameters}
    jsonschema.Draft202012Validator({**schema, "properties": given, "required": []}).validate(
        deployment.parameters
    )
    environments = [one.name for one in CATALOGUE.platform.environments]
    assert deployment.parameters.get("environment", "staging") in environments
    for schedule in deployment.schedules:
        assert schedule.as_prefect_reads_it.timezone == schedule.timezone
        assert set(schedule.parameters) <= set(schema["properties"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_scheduled_run_needs_nobody_to_fill_anything_in(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    if deployment.schedules:
        assert set(deployment.flow.parameters.required) <= set(deployment.parameters)


def test_nothing_is_deployed_twice_and_every_field_of_a_form_has_its_help() -> None:
    assert max(Counter(one.name for one in declared().deployments).values()) == 1
    for deployment in DEPLOYMENTS.values():
        for name, field in deployment.flow.parameters.properties.items():
            assert field.get("description"), f"{deployment.name}: {name} has no help"


def test_the_whole_catalogue_is_deployed_and_nothing_else() -> None:
    known = {*CATALOGUE.names, *CATALOGUE.suites}
    assert {one.breaks for one in BREAKING} == known
    assert {one.name for one in BREAKING} == known, "each is called as what it breaks"


@pytest.mark.parametrize("name", sorted({one.name for one in BREAKING}))
async def test_each_is_run_as_often_as_it_asks_for(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    suite = name in CATALOGUE.suites
    frequency = CATALOGUE.suite(name).frequency if suite else CATALOGUE.experiment(name).frequency
    active = [schedule for schedule in deployment.schedules if schedule.active]
    if frequency == "on-demand":
        assert active == []
        return
    (schedule,) = active
    assert schedule.slug == frequency
    shortest, longest_gap = DAYS[frequency]
    dates = await schedule.dates(BEGIN, END)
    assert dates[0] - BEGIN < timedelta(days=longest_gap)
    for before, after in pairwise(dates):
        assert shortest <= (after.date() - before.date()).days <= longest_gap


async def test_what_is_scheduled_takes_place_in_business_hours() -> None:
    (hours,) = CATALOGUE.guardrails.hours
    for slot in await slots():
        closes = hours.until(slot.begins)
        assert closes is not None, f"{slot.name} begins {slot.begins}"
        assert slot.ends <= closes, f"{slot.name} may last until {slot.ends}"


async def test_nothing_begins_within_an_hour_of_what_was_broken_before() -> None:
    found = await slots()
    assert len(found) > 12
    for before, after in pairwise(found):
        assert before.ends + HOUR <= after.begins, f"{before.name} may last until {before.ends}: {after}"


async def test_what_is_scheduled_is_allowed_where_it_is_scheduled() -> None:
    rules = CATALOGUE.guardrails
    for deployment in BREAKING:
        where = deployment.parameters["environment"]
        assert where == "staging"
        for one in members(deployment):
            assert where in one.environments
            assert one.duration <= rules.max_run_duration
            allowed = [rule.environments for rule in rules.categories if rule.category == one.category]
            assert not allowed or any(where in environments for environments in allowed)
    for slot in await slots():
        for freeze in rules.freezes:
            if not freeze.environments or "staging" in freeze.environments:
                assert not freeze.meets(slot.begins, slot.ends)


def test_nobody_can_queue_a_second_run_of_the_same_experiment() -> None:
    for deployment in (*BREAKING, DEPLOYMENTS["by-hand"]):
        limit = deployment.concurrency_limit
        assert limit is not None
        assert (limit.limit, limit.collision_strategy) == (1, "CANCEL_NEW")
