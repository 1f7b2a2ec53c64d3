"""Why: every verdict rests on samples, so the store and the scraper must treat them as Prometheus does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from sandbox.prometheus.exposition import Exposition
from sandbox.prometheus.labels import Labels
from sandbox.prometheus.promql.engine import Engine, VectorResult
from sandbox.prometheus.scraper import RETENTION_S
from sandbox.prometheus.server import Prometheus
from sandbox.prometheus.storage import Series
from sandbox.wiring import Sample, ScrapeTarget
from sandbox.world import World


class Targets:
    """Whatever a test wants scraped."""

    def __init__(self, *targets: ScrapeTarget) -> None:
        self.targets = list(targets)

    def scrape(self) -> Iterable[ScrapeTarget]:
        """The targets as they are now."""
        return self.targets


def target(pod: str, *samples: Sample, healthy: bool = True) -> ScrapeTarget:
    return ScrapeTarget("services", f"{pod}:80", {"pod": pod}, healthy=healthy, samples=samples)


def build(*targets: ScrapeTarget) -> tuple[World, Targets, Prometheus]:
    world = World(seed=1, epoch=datetime(2026, 11, 23, 10, tzinfo=UTC))
    scraped = Targets(*targets)
    return world, scraped, Prometheus(world, [scraped], scrape_interval_s=5)


def ask(prometheus: Prometheus, query: str) -> dict[str, float]:
    """The values of ``query`` now, by pod."""
    result = Engine(prometheus.storage).instant(query, prometheus.now_ms())
    assert isinstance(result, VectorResult)
    return {labels.get("pod"): value for labels, value in result.elements}


def test_equal_labels_are_one_object_and_empty_ones_do_not_count() -> None:
    labels = Labels.of({"b": "2", "a": "1", "c": ""})
    assert labels is Labels.of([("a", "1"), ("b", "2")])
    assert labels.only(("a", "x")) is Labels.of({"a": "1"})
    assert repr(Labels.of({"__name__": "up", "job": "x"})) == 'up{job="x"}'


def test_a_window_holds_the_samples_at_both_its_ends() -> None:
    series = Series.of(Labels.of({}), [1000, 2000, 3000, 4000], [1, 2, 3, 4])
    assert series.window(2000, 3000) == (1, 3)
    assert series.window(4001, 9000) == (4, 4)


def test_what_a_counter_lost_to_resets_is_known_for_any_window_also_after_more_samples() -> None:
    series = Series.of(Labels.of({}), range(6), [5, 9, 2, 4, 1, 3])
    assert series.lost_to_resets(0, 5) == 13
    assert series.lost_to_resets(2, 5) == 4
    assert series.lost_to_resets(2, 3) == 0
    series.append(6, 0)
    assert series.lost_to_resets(4, 6) == 3


def test_targets_are_scraped_at_each_interval_with_their_labels() -> None:
    world, _, prometheus = build(target("a", Sample("hits_total", {"kind": "x"}, 3.0)))
    world.advance_to(12)
    [labels] = [
        s.labels.mapping for s in prometheus.storage.all() if s.labels.get("__name__") == "hits_total"
    ]
    assert labels == {
        "__name__": "hits_total",
        "job": "services",
        "instance": "a:80",
        "pod": "a",
        "kind": "x",
    }
    assert ask(prometheus, "count_over_time(hits_total[1m])") == {"a": 2.0}
    assert ask(prometheus, "up") == {"a": 1.0}
    assert ask(prometheus, "scrape_samples_scraped") == {"a": 1.0}


def test_a_label_that_the_target_has_too_is_kept_as_exported() -> None:
    world, _, prometheus = build(target("a", Sample("restarts_total", {"pod": "other"}, 1.0)))
    world.advance_to(5)
    [series] = [s for s in prometheus.storage.all() if s.labels.get("__name__") == "restarts_total"]
    assert (series.labels.get("pod"), series.labels.get("exported_pod")) == ("a", "other")


def test_a_target_that_does_not_answer_is_down_and_its_series_are_gone_at_once() -> None:
    world, scraped, prometheus = build(target("a", Sample("hits_total", {}, 3.0)))
    world.advance_to(5)
    scraped.targets = [target("a", Sample("hits_total", {}, 4.0), healthy=False)]
    world.advance_to(10)
    assert ask(prometheus, "up") == {"a": 0.0}
    assert ask(prometheus, "hits_total") == {}
    assert ask(prometheus, "count_over_time(hits_total[1m])") == {"a": 1.0}


def test_a_target_that_vanished_leaves_nothing_behind_and_may_come_back() -> None:
    world, scraped, prometheus = build(target("a", Sample("hits_total", {}, 3.0)), target("b"))
    world.advance_to(5)
    scraped.targets = [target("b")]
    world.advance_to(10)
    assert ask(prometheus, "up") == {"b": 1.0}
    scraped.targets = [target("a", Sample("hits_total", {}, 1.0)), target("b")]
    world.advance_to(15)
    assert ask(prometheus, "up") == {"a": 1.0, "b": 1.0}
    assert ask(prometheus, "hits_total") == {"a": 1.0}


def test_a_series_that_is_no_longer_exposed_ends_while_the_others_go_on() -> None:
    world, scraped, prometheus = build(target("a", Sample("hits_total", {}, 3.0), Sample("level", {}, 1.0)))
    world.advance_to(5)
    scraped.targets = [target("a", Sample("level", {}, 2.0))]
    world.advance_to(10)
    assert ask(prometheus, "hits_total") == {}
    assert ask(prometheus, "level") == {"a": 2.0}


def test_an_exposition_is_a_sequence_of_samples_like_any_other() -> None:
    block = Exposition((("up", {}), ("hits_total", {"kind": "x"})), [1.0, 7.0])
    assert list(block) == [Sample("up", {}, 1.0), Sample("hits_total", {"kind": "x"}, 7.0)]
    assert list(block[1:]) == [Sample("hits_total", {"kind": "x"}, 7.0)]
    with pytest.raises(ValueError, match="1 values for 2 series"):
        Exposition(block.layout, [1.0])


def test_a_sandbox_that_stays_up_for_days_forgets_what_is_older_than_its_retention() -> None:
    world, scraped, prometheus = build(
        target("a", Sample("requests_total", {}, 7)), target("b", Sample("requests_total", {}, 9))
    )
    world.advance_to(3600)
    scraped.targets.pop()
    world.advance_to(24 * 3600)
    kept = [
        series for series in prometheus.storage.all() if series.labels.get("__name__") == "requests_total"
    ]
    assert [series.labels.get("pod") for series in kept] == ["a"], "what ended long ago is gone"
    assert RETENTION_S / 5 <= len(kept[0].times) <= (RETENTION_S + 1800) / 5 + 1
    assert ask(prometheus, "requests_total") == {"a": 7}
    assert ask(prometheus, "increase(requests_total[5m])") == {"a": 0}
