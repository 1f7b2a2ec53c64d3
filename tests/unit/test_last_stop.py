"""A creation that was never answered may still come; the run that asked for it looks on and ends it."""

from __future__ import annotations

import asyncio
from typing import Any

from gameday.clients.chaos_mesh import ref_of
from gameday.journal.store import Event
from gameday.plan.build import build
from gameday.run.context import Requested, Run
from gameday.run.last_stop import end_everything
from gameday.run.session import open_session
from gameday.settings import clock, load
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox


async def test_what_comes_after_the_emergency_stop_is_ended_too(sandbox: Sandbox) -> None:
    assert sandbox.url
    catalogue, settings = Catalogue(), load()
    where, time = catalogue.platform.environment("staging"), clock(settings)
    told: list[Event] = []
    coming: list[asyncio.Future[Any]] = []
    async with open_session(settings, catalogue, where, time, print) as session:
        experiment = catalogue.experiment("network-resilience")
        plan = await build(catalogue, experiment, where, session.cluster, now=time.now())
        late = plan.faults[0].chaos_object

        def listen(event: Event) -> None:
            told.append(event)
            if event.kind == "warning" and "is not known; watching" in event.message:
                coming.append(asyncio.ensure_future(session.chaos.create(late)))

        async with Run.begin(plan, session, Requested("me", "why"), [listen]) as run:
            run.unanswered.add(ref_of(late))
            await end_everything(run)
        await asyncio.gather(*coming)
        assert coming
        assert (await session.chaos.live()).objects == ()
    assert not run.unanswered
    assert any("came after all, and was ended" in event.message for event in told)
