"""A month of a market that stands still raises nothing; what changes is told within three windows, as what it is."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from gapfill.features.registry import NAMES
from services.live.board import FeatureBlock
from services.live.drift.errors import DriftAlertNotFound
from services.live.drift.figures import Thresholds
from services.live.drift.journal import Alert, DriftJournal
from services.live.drift.monitor import DriftMonitor, Sources
from services.live.drift.reference import Reference, of_rows
from services.live.drift.skill import SkillFall
from services.live.drift.watching import DriftWatch
from services.live.events import LOG, decode
from services.live.stage import LEASE, Stage
from services.models.shelf import SampleRows
from services.models.version import ModelVersion
from services.store.sqlite import SqliteStore
from services.telemetry import Metrics
from tests.unit.live.drift_market import GAP, LIVE, Market, market, times
from tests.unit.live.drift_spoilers import (
    JUMP,
    WINDOW,
    Spoil,
    frozen,
    imputed,
    no_price,
    one_price,
    pools_gone,
    region_away,
    silent,
)
from tests.unit.live.live_blocks import version

MODEL = version(features=NAMES)


class Skill:
    """`Skills` that says what it is told to."""

    def __init__(self, fall: SkillFall | None = None) -> None:
        self.told = fall

    def fall(
        self, version: ModelVersion, pool_ids: tuple[str, ...], now: datetime, window: timedelta
    ) -> SkillFall | None:
        return self.told


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.sqlite3")


@cache
def first_week(seed: int) -> Reference:
    found = of_rows(market(seed).rows(GAP, LIVE, "4h"))
    assert found is not None
    return found


def monitor(
    store: SqliteStore,
    seed: int = 3,
    window: timedelta = WINDOW,
    rows: SampleRows | None = None,
    skill: Skill | None = None,
) -> DriftMonitor:
    sources = Sources(lambda _model_id: rows or [], lambda *_: None if rows else first_week(seed), skill or Skill())
    return DriftMonitor(DriftJournal(store), sources, Thresholds(), window, max_age_s=900)


def shown(to: DriftMonitor, blocks: Iterable[FeatureBlock]) -> list[Alert]:
    return [alert for block in blocks for alert in to.observe(block, [MODEL])]


@cache
def days(seed: int, factor: float = 1.0, region: str = "") -> tuple[FeatureBlock, ...]:
    """Two days and a bit; the prices jump after the first."""
    changed = market(seed) if factor == 1.0 else market(seed).with_points(times(factor, JUMP, region))
    return tuple(changed.blocks(LIVE, LIVE + timedelta(days=2, hours=6), "3h"))


def spoilt(spoil: Spoil, seed: int = 3) -> list[FeatureBlock]:
    return [spoil(block) if block.as_of >= JUMP else block for block in days(seed)]


@pytest.mark.parametrize("seed", [3, 12])
def test_a_month_of_a_market_that_stands_still_raises_nothing(store: SqliteStore, seed: int) -> None:
    watched = monitor(store, seed, window=timedelta(hours=12))
    assert shown(watched, market(seed).blocks(LIVE, LIVE + timedelta(days=30), "6h")) == []
    journal = DriftJournal(store)
    windows = journal.windows(MODEL.model_id, 200)
    assert len(windows) == 59
    assert {window["reference"] for window in windows} == {"gap"}
    compared = {figure["feature"] for window in windows for figure in window["features"] if figure["psi"] is not None}
    assert compared == set(NAMES) - {"hour", "day_of_week", "hours_since_launch"}


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5])
@pytest.mark.parametrize("seed", [3, 4])
def test_prices_times_a_half_more_are_a_market_that_moved(store: SqliteStore, seed: int, factor: float) -> None:
    raised = shown(monitor(store, seed), days(seed, factor))
    assert [alert.kind for alert in raised] == ["market_moved"]
    assert raised[0].raised_at <= JUMP + 3 * WINDOW
    assert raised[0].evidence["spot_prices"]["factor"] == pytest.approx(factor, rel=0.01)
    assert raised[0].evidence["spot_prices"]["share"] > 0.95
    assert raised[0].evidence["largest_relation_change"]["change"] < 0.3
    assert "price_ratio" in {figure["feature"] for figure in raised[0].features}


def test_the_authors_sample_serves_as_well_as_the_gap(store: SqliteStore) -> None:
    before = market(3).rows(GAP, LIVE, "6h").select(NAMES)
    rows: SampleRows = before.sample(600, seed=1).to_dicts()
    raised = shown(monitor(store, rows=rows), days(3, 1.5))
    assert [(alert.kind, alert.reference) for alert in raised] == [("market_moved", "sample")]
    assert shown(monitor(SqliteStore(store.path.with_name("other")), rows=rows), days(3)) == []


@pytest.mark.parametrize(
    ("spoil", "sign"),
    [
        (no_price, "unknown_prices"),
        (imputed, "imputed_values"),
        (silent, "silent_pools"),
        (region_away, "regions_not_answering"),
        (one_price, "constant_values"),
        (frozen, "frozen_prices"),
    ],
)
def test_a_broken_collector_is_called_one(store: SqliteStore, spoil: Spoil, sign: str) -> None:
    raised = shown(monitor(store), spoilt(spoil))
    assert [alert.kind for alert in raised] == ["collector_broke"]
    assert raised[0].raised_at == JUMP + 3 * WINDOW
    assert sign in {one["name"] for one in raised[0].evidence["collector_signs"]}


def test_pools_that_are_gone_stay_gone(store: SqliteStore) -> None:
    raised = shown(monitor(store), spoilt(pools_gone))
    assert [alert.kind for alert in raised] == ["collector_broke"]
    assert raised[0].evidence["collector_signs"][0]["name"] == "pools_missing"


@pytest.mark.parametrize(("factor", "region"), [(1.5, "eu-west-1"), (1000.0, "us-east-1"), (1000.0, "")])
def test_a_jump_of_units_is_no_move_of_the_market(store: SqliteStore, factor: float, region: str) -> None:
    raised = shown(monitor(store), days(3, factor, region))
    assert [alert.kind for alert in raised] == ["collector_broke"]
    assert [one["name"] for one in raised[0].evidence["collector_signs"]] == ["unit_jump"]


def test_a_feature_that_is_made_of_something_else_has_changed_its_meaning(store: SqliteStore) -> None:
    def reversed_means(block: FeatureBlock) -> FeatureBlock:
        matrix = block.matrix.copy()
        place = NAMES.index("price_mean_24h")
        matrix[:, place] = matrix[::-1, place]
        return replace(block, matrix=matrix)

    def cents(block: FeatureBlock) -> FeatureBlock:
        matrix = block.matrix.copy()
        matrix[:, NAMES.index("price_mean_24h")] *= 100
        return replace(block, matrix=matrix)

    raised = shown(monitor(store), spoilt(cents))
    assert [alert.kind for alert in raised] == ["signal_changed"]
    assert raised[0].evidence["drifted_features"] == ["price_mean_24h"]
    other = SqliteStore(store.path.with_name("other"))

    def both(block: FeatureBlock) -> FeatureBlock:
        return cents(reversed_means(block))

    relation = shown(monitor(other), spoilt(both))[0].evidence["largest_relation_change"]
    assert "price_mean_24h" in relation["features"]
    assert relation["change"] >= 0.3


def test_a_skill_that_falls_while_inputs_stay_is_a_changed_signal(store: SqliteStore) -> None:
    fall = SkillFall("skill over the last price", 0.4, 0.05, 900)
    raised = shown(monitor(store, skill=Skill(fall)), days(3))
    assert [alert.kind for alert in raised] == ["signal_changed"]
    assert raised[0].raised_at == LIVE + 3 * WINDOW
    assert "from 0.40 to 0.05" in raised[0].sentence


def test_an_alert_ends_with_what_raised_it_and_comes_again_with_it(store: SqliteStore) -> None:
    def for_a_day(block: FeatureBlock) -> FeatureBlock:
        return silent(block) if block.as_of < JUMP + 4 * WINDOW else block

    blocks = spoilt(for_a_day)
    assert len(shown(monitor(store), blocks)) == 1
    journal = DriftJournal(store)
    assert journal.alerts(None, 10, only_open=True) != []
    market_days = list(market(3).blocks(blocks[-1].as_of, blocks[-1].as_of + 2 * WINDOW, "3h"))
    shown(monitor(store), market_days)
    ended = journal.alerts(MODEL.model_id, 10)
    assert [alert.ended_at is not None for alert in ended] == [True]
    assert ended[0].windows == 4


def test_runs_go_on_after_a_restart(store: SqliteStore) -> None:
    jumped = [block for block in days(3, 1.5) if block.as_of >= JUMP]
    raised: list[Alert] = []
    for window in range(4):
        start = JUMP + window * WINDOW
        part = [block for block in jumped if start <= block.as_of <= start + WINDOW]
        raised += shown(monitor(store), part)
    assert [alert.kind for alert in raised] == ["market_moved"]
    assert len(DriftJournal(store).windows(MODEL.model_id, 10)) == 4


def test_a_pause_of_the_loop_is_no_window(store: SqliteStore) -> None:
    watched = monitor(store)
    early = [block for block in days(3) if block.as_of < LIVE + WINDOW]
    late = [block for block in days(3) if block.as_of >= LIVE + 4 * WINDOW]
    shown(watched, early)
    assert watched.observe(late[0], [MODEL]) == []
    assert DriftJournal(store).windows(MODEL.model_id, 10) == []


def test_who_acknowledges_first_stays(store: SqliteStore) -> None:
    raised = shown(monitor(store), days(3, 1.5))[0]
    journal = DriftJournal(store)
    seen = journal.acknowledge(raised.alert_id, "ada", "known", JUMP)
    again = journal.acknowledge(raised.alert_id, "bob", "", LIVE)
    assert seen == again
    assert again.acknowledged is not None
    assert (again.acknowledged.by, again.acknowledged.note, again.acknowledged.at) == ("ada", "known", JUMP)
    with pytest.raises(DriftAlertNotFound):
        journal.acknowledge("01NOSUCH", "ada", "", JUMP)


def test_an_alert_is_told_as_an_event_and_a_failure_is_no_tick_s(store: SqliteStore) -> None:
    lease = store.acquire(LEASE, "me", 30)
    assert lease is not None
    metrics = Metrics(CollectorRegistry())
    watch = DriftWatch(monitor(store), Stage(store, lease, 100), metrics)
    for block in days(3, 1.5):
        watch.look(block, [MODEL])
    entry = store.latest(LOG, "drift")
    assert entry is not None
    told = [Alert.model_validate_json(row) for row in decode(entry).rows["alert"]]
    assert [alert.kind for alert in told] == ["market_moved"]
    assert [alert.alert_id for alert in told] == [alert.alert_id for alert in DriftJournal(store).alerts(None, 10)]
    counted = metrics.registry.get_sample_value(
        "cloudoptim_drift_alerts_total", {"model_id": MODEL.model_id, "kind": "market_moved"}
    )
    assert counted == 1
    broken = replace(days(3)[-1], as_of=LIVE + timedelta(days=30), matrix=np.empty((0, 0)))
    watch.look(broken, [MODEL])


def test_a_first_week_needs_a_day() -> None:
    some: Market = market(3)
    assert of_rows(some.rows(GAP, GAP + timedelta(hours=12), "4h")) is None
    assert of_rows(some.rows(GAP, GAP + timedelta(hours=28), "4h").filter(pl.col("pool_id") == "none")) is None
