"""The quarterly review is a flow: its review is written, and shown in Prefect."""

from __future__ import annotations

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.quarterly_review import quarterly_review
from gameday.settings import load

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def test_the_flow_writes_the_review_and_shows_it() -> None:
    told = await quarterly_review("2026Q1")
    assert told["words"] == "Nothing was run in 2026Q1, and nothing was mended."
    assert told["page"] == str(load().reports_dir / "review-2026Q1.html")
    async with get_client() as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["quarterly-review"]))
        shown = await client.read_artifacts(artifact_filter=wanted)
    # Others may have asked this server for a review of theirs.
    assert any("No run in 2026Q1." in str(one.data) for one in shown)
