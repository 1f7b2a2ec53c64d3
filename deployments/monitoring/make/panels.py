"""Why: every dashboard looks the same, so how a panel is made stands in one place.

Built with Grafana's own foundation SDK. What is shown is for the dashboards beside this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import common, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus as queries
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)

from gameday.clients.grafana import CHAOS
from gameday.spec.base import Comparison

DATASOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH: Final = 24
"""How many columns a row of a dashboard has, as Grafana counts them."""

_UNITS: Final = {"ratio": "percentunit", "s": "s", "requests/s": "reqps", "restarts/s": "ops"}
# Grafana's own names of colours that people with red-green blindness can tell apart.
GOOD, BAD, WARN, CALM = "blue", "red", "orange", "text"

Limits = Sequence[tuple[float | None, str]]


def query(expression: str, legend: str = "", *, instant: bool = False) -> queries.Dataquery:
    """One question to Prometheus."""
    asked = queries.Dataquery().expr(expression).datasource(DATASOURCE)
    if legend:
        asked = asked.legend_format(legend)
    return asked.instant() if instant else asked.range()


def thresholds(limits: Limits) -> boards.ThresholdsConfig:
    """From each value on its colour; the first has no value."""
    steps = [models.Threshold(value=value, color=color) for value, color in limits]
    return boards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def guardrail(limit: Comparison | None) -> Limits:
    """The colours of a signal past whose ``limit`` a run is aborted."""
    if limit is None:
        return ((None, CALM),)
    if limit.operator in {"<", "<="}:
        return ((None, BAD), (limit.value, CALM))
    return ((None, CALM), (limit.value, BAD))


def number(
    title: str, about: str, expression: str, limits: Limits, *, unit: str = "short", span: int = 4
) -> stat.Panel:
    """One number of this moment, large."""
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .thresholds(thresholds(limits))
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .no_value("no data")
        .with_target(query(expression, instant=True))
        .height(4)
        .span(span)
    )


def lines(
    title: str,
    about: str,
    *asked: queries.Dataquery,
    unit: str = "short",
    limits: Limits = ((None, CALM),),
    span: int = 12,
    least: float | None = 0,
) -> timeseries.Panel:
    """Values over time, with the guardrail's limit as a line."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(_UNITS.get(unit, unit or "short"))
        .thresholds(thresholds(limits))
        .line_width(1.5)
        .fill_opacity(5)
        .span_nulls(False)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "min", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .height(8)
        .span(span)
    )
    if least is not None:
        panel = panel.min(least)
    if len(limits) > 1:
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        )
    for one in asked:
        panel = panel.with_target(one)
    return panel


def spans(title: str, about: str, *asked: queries.Dataquery, span: int = WIDTH) -> statetimeline.Panel:
    """What was there, and from when to when."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .thresholds(thresholds(((None, CALM), (1, WARN))))
        .no_value("nothing")
        .height(6)
        .span(span)
    )
    for one in asked:
        panel = panel.with_target(one)
    return panel


def board(uid: str, title: str, about: str) -> boards.Dashboard:
    """An empty dashboard with its source of data, and the faults as annotations."""
    faults = (
        boards.AnnotationQuery()
        .name("Faults")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(WARN)
        .expr("max by (run, experiment, stage, kind) (gameday_guard_faults) > 0")
    )
    ours = (
        boards.AnnotationQuery()
        .name("Runs")
        .datasource(models.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .enable(True)
        .icon_color("purple")
        .target(boards.AnnotationTarget().limit(100).match_any(True).tags([CHAOS]).type("tags"))
    )
    return (
        boards.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["gameday", "chaos"])
        .timezone("browser")
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .editable()
        .annotation(faults)
        .annotation(ours)
        .with_variable(boards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )


def choice(name: str, label: str, expression: str, *, several: bool = True) -> boards.QueryVariable:
    """A variable of a dashboard: the values of a label, all of them at first."""
    return (
        boards.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(expression)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(several)
    )


def links(uids: dict[str, str], own: str) -> list[Any]:
    """The way from one dashboard to the others, with the same time."""
    return [
        boards.DashboardLink(title).type(models.DashboardLinkType.LINK).url(f"/d/{uid}").keep_time(True)
        for uid, title in uids.items()
        if uid != own
    ]
