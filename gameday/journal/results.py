"""Why: what was learned from a run is kept with its record, so that a report can be made at any time.

Keeps the series, the analysis with its findings, and predictions. What they mean is known to whoever
makes and reads them (``gameday.analysis``): here they are documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from gameday.journal.schema import analyses, findings, predictions, runs, series
from gameday.journal.store import Journal, to_its_end
from gameday.redaction import redacted_data

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """One weakness that a run found. ``key`` is the same whenever the same thing is found again."""

    key: str
    severity: str
    service: str = ""
    breaks_hypothesis: bool = False
    body: Document = field(default_factory=dict)
    run: str = ""


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """What a rehearsal says beforehand of an experiment in an environment, for the plan of ``digest``."""

    prediction: str
    experiment: str
    environment: str
    digest: str
    at: datetime
    body: Document


class Results:
    """What was learned from the runs of a journal. All methods raise ``JournalError``."""

    def __init__(self, journal: Journal) -> None:
        """Keep them in ``journal``, which must be open."""
        self._journal = journal

    @to_its_end
    async def keep_series(self, run: str, found: Iterable[Document]) -> None:
        """Keep the series of a run instead of those it had; each names its ``signal`` and ``service``."""
        rows = [
            {"run": run, "signal": one["signal"], "service": one["service"], "body": dict(one)}
            for one in found
        ]
        async with self._journal.transaction() as connection:
            await connection.execute(delete(series).where(series.c.run == run))
            if rows:
                await connection.execute(insert(series), rows)

    @to_its_end
    async def series(self, run: str) -> list[Document]:
        """The series of a run, by signal and service."""
        query = select(series.c.body).where(series.c.run == run).order_by(series.c.signal, series.c.service)
        async with self._journal.transaction() as connection:
            return [dict(body) for body in (await connection.execute(query)).scalars()]

    @to_its_end
    async def keep_analysis(
        self, run: str, at: datetime, body: Document, found: Sequence[FindingRecord]
    ) -> None:
        """Keep the analysis of a run and its findings instead of those it had."""
        rows = [
            {"run": run, "key": one.key, "severity": one.severity, "service": one.service}
            | {"breaks_hypothesis": one.breaks_hypothesis, "body": redacted_data(dict(one.body))}
            for one in found
        ]
        async with self._journal.transaction() as connection:
            for table in (analyses, findings):
                await connection.execute(delete(table).where(table.c.run == run))
            await connection.execute(insert(analyses).values(run=run, at=at, body=redacted_data(dict(body))))
            if rows:
                await connection.execute(insert(findings), rows)

    @to_its_end
    async def analysis(self, run: str) -> Document | None:
        """The analysis of a run; None where there is none."""
        query = select(analyses.c.body).where(analyses.c.run == run)
        async with self._journal.transaction() as connection:
            body = (await connection.execute(query)).scalar()
        return dict(body) if body is not None else None

    @to_its_end
    async def findings(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        keys: Iterable[str] = (),
        run: str = "",
    ) -> list[FindingRecord]:
        """The findings of all runs that started from ``since`` on and before ``until``, oldest first."""
        query = select(findings).join(runs, runs.c.run == findings.c.run).order_by(runs.c.started_at)
        if run:
            query = query.where(findings.c.run == run)
        if since is not None:
            query = query.where(runs.c.started_at >= since)
        if until is not None:
            query = query.where(runs.c.started_at < until)
        if wanted := list(keys):
            query = query.where(findings.c.key.in_(wanted))
        async with self._journal.transaction() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [FindingRecord(**row) for row in rows]

    @to_its_end
    async def first_found(
        self, keys: Iterable[str], *, environment: str = "", sandbox: bool = False
    ) -> dict[str, datetime]:
        """By key: when the first run began that found it, in ``environment`` or anywhere.

        Of runs on clusters, or of those on the ``sandbox``.
        """
        query = (
            select(findings.c.key, func.min(runs.c.started_at).label("first"))
            .join(runs, runs.c.run == findings.c.run)
            .where(findings.c.key.in_(list(keys)), runs.c.sandbox.is_(sandbox))
            .group_by(findings.c.key)
        )
        if environment:
            query = query.where(runs.c.environment == environment)
        async with self._journal.transaction() as connection:
            return {row.key: row.first for row in await connection.execute(query)}

    @to_its_end
    async def keep_prediction(self, record: PredictionRecord) -> None:
        """Keep a prediction."""
        values = {name: getattr(record, name) for name in PredictionRecord.__dataclass_fields__}
        values["body"] = redacted_data(dict(record.body))
        async with self._journal.transaction() as connection:
            await connection.execute(insert(predictions).values(**values))

    @to_its_end
    async def newest_prediction(self, experiment: str, environment: str) -> PredictionRecord | None:
        """The newest prediction for ``experiment`` in ``environment``."""
        query = (
            select(predictions)
            .where(predictions.c.experiment == experiment, predictions.c.environment == environment)
            .order_by(predictions.c.at.desc())
            .limit(1)
        )
        async with self._journal.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return PredictionRecord(**row) if row is not None else None

    @to_its_end
    async def use_prediction(self, run: str, prediction: str) -> None:
        """Say that ``prediction`` is what was expected of ``run``."""
        async with self._journal.transaction() as connection:
            await connection.execute(update(runs).where(runs.c.run == run).values(prediction=prediction))

    async def expect(self, run: str, experiment: str, environment: str) -> None:
        """Say that the newest prediction, where there is one, is what was expected of ``run``."""
        newest = await self.newest_prediction(experiment, environment)
        if newest is not None:
            await self.use_prediction(run, newest.prediction)

    @to_its_end
    async def prediction(self, run: str) -> PredictionRecord | None:
        """What was expected of ``run``; None where nobody had said anything."""
        query = (
            select(predictions)
            .join(runs, runs.c.prediction == predictions.c.prediction)
            .where(runs.c.run == run)
        )
        async with self._journal.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return PredictionRecord(**row) if row is not None else None
