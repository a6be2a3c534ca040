"""Distances between samples agree with scipy's own; thresholds have their floor; windows sample what they must."""

import itertools
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from gapfill.features.registry import NAMES
from gapfill.history import History
from services.live.drift.figures import (
    SMOOTHING,
    Thresholds,
    bin_edges,
    compare,
    ks,
    ks_resolution,
    psi,
    psi_resolution,
    shares,
)
from services.live.drift.reference import Reference, of_gap, of_rows, of_sample
from services.live.drift.window import MOST_POOLS, SNAPSHOTS, Window, sampled
from services.models.scorer import Vector
from tests.unit.live.drift_market import GAP, LIVE, market
from tests.unit.live.live_blocks import NOW, block, version

RANDOM = np.random.default_rng(5)
SAMPLES: list[tuple[Vector, Vector]] = [
    (RANDOM.normal(size=400), RANDOM.normal(0.3, 1.2, 900)),
    (RANDOM.gamma(2, 0.1, 1000), RANDOM.gamma(2, 0.15, 1000)),
    (RANDOM.integers(0, 3, 300).astype(float), RANDOM.integers(0, 5, 200).astype(float)),
    (np.zeros(50), np.ones(50)),
    (np.zeros(50), np.zeros(70)),
]


@pytest.mark.parametrize(("reference", "live"), SAMPLES)
def test_figures_agree_with_scipy(reference: Vector, live: Vector) -> None:
    exact = stats.ks_2samp(reference, live, method="exact" if len(live) < 500 else "asymp")
    assert ks(reference, live) == pytest.approx(exact.statistic, rel=1e-12)
    edges = [-np.inf, *bin_edges(reference), np.inf]
    bins = list(itertools.pairwise(edges))
    p, q = ([np.sum((v > low) & (v <= high)) + SMOOTHING for low, high in bins] for v in (reference, live))
    # scipy normalises the counts itself.
    assert psi(reference, live) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-12)


def test_bins_are_the_references_quantiles() -> None:
    values = np.arange(1000.0)
    assert shares(values, bin_edges(values)) == pytest.approx(np.full(10, 0.1), abs=1e-3)
    assert len(bin_edges(np.zeros(50))) == 1
    assert psi(values, values) == 0.0


def test_samples_of_one_market_stay_below_the_resolution() -> None:
    random = np.random.default_rng(6)
    distances, indices = [], []
    for _ in range(1000):
        one, other = random.normal(size=80), random.normal(size=500)
        distances.append(ks(other, one))
        indices.append(psi(other, one))
    assert ks_resolution(80, 500) / 2 < max(distances) < ks_resolution(80, 500)
    assert psi_resolution(80, 500) / 2 < max(indices) < psi_resolution(80, 500)


def test_with_many_pools_the_thresholds_decide_with_few_the_resolution() -> None:
    reference, moved = RANDOM.normal(size=2000), RANDOM.normal(0.5, 1, 2000)
    many = compare("price", reference, moved, 0.0, (2000, 2000), Thresholds())
    few = compare("price", reference, moved, 0.0, (20, 100), Thresholds())
    strict = compare("price", reference, moved, 0.0, (2000, 2000), Thresholds(psi=0.9, ks=0.9))
    assert (many.drifted, few.drifted, strict.drifted) == (True, False, False)
    assert (many.psi, many.ks) == (few.psi, few.ks) == (psi(reference, moved), ks(reference, moved))


def test_what_was_hardly_observed_is_not_compared() -> None:
    live = np.full(500, np.nan)
    live[:20] = 1.0
    figure = compare("price", np.zeros(500), live, 0.96, (500, 500), Thresholds())
    assert (figure.psi, figure.ks, figure.drifted) == (None, None, False)
    assert (figure.median, figure.imputed_share) == (1.0, 0.96)


def test_a_window_takes_few_snapshots_of_the_same_pools() -> None:
    pools = [f"us-east-1/us-east-1a/m5.{n}large/Linux/UNIX" for n in range(1, MOST_POOLS + 500)]
    window = Window(block(pools=pools), timedelta(hours=1))
    for minute in range(60):
        shown = block(seq=minute + 1, at=NOW + timedelta(minutes=minute), pools=pools)
        assert window.takes(shown)
        window.add(shown)
    assert not window.takes(block(at=NOW + timedelta(hours=1), pools=pools))
    sample = window.sample()
    assert len(sample.matrix) == SNAPSHOTS * MOST_POOLS
    assert len(sample.pool_ids) == MOST_POOLS
    assert sample.present == set(pools)
    shuffled = sorted(pools, reverse=True)
    assert {shuffled[place] for place in sampled(shuffled)} == set(sample.pool_ids), "chosen by the id, not the place"


def test_medians_are_each_pools_own() -> None:
    window = Window(block(), timedelta(hours=1))
    window.add(block())
    dearer = block(at=NOW + timedelta(minutes=30), price=0.15)
    window.add(dearer)
    assert window.sample().pool_medians("price") == dict.fromkeys(dearer.pool_ids, pytest.approx(0.1))


def test_a_sample_is_taken_in_the_live_pools_proportions() -> None:
    window = Window(block(), timedelta(hours=1))
    window.add(block(price=2.0))  # every feature is 2, the make-up too
    live = window.sample()
    made = version(features=("price", "vcpu", "memory_gib"))
    rows: list[dict[str, float | None]] = [
        {"price": float(n), "vcpu": 2.0 if n % 2 else 8.0, "memory_gib": 2.0 if n % 2 else 32.0} for n in range(400)
    ]
    reference = of_sample(made, rows, live)
    assert reference is not None
    assert set(reference.column("vcpu")) == {2.0}
    assert len(reference.matrix) == 200
    assert of_sample(made, [row for row in rows if row["vcpu"] == 8.0], live) is None, "it speaks of other pools"
    assert of_sample(made, rows[:50], live) is None
    alone = of_sample(version(features=("price",)), rows, live)
    assert alone is not None
    assert len(alone.matrix) == 400


def test_the_gaps_first_week_is_read_from_the_history(tmp_path: Path) -> None:
    some = market(3)
    history = History(tmp_path / "history", "sim:3")
    history.append_prices(some.points.filter(pl.col("at") < LIVE + timedelta(days=2)))
    history.append_on_demand(some.on_demand)
    history.append_instance_types(some.types)
    pools = tuple(some.points["pool_id"].unique().sort())
    made = version(features=NAMES).model_copy(update={"trained_until": (GAP - timedelta(days=1)).date()})
    assert made.knows_until == GAP
    found = of_gap(history, made, pools, LIVE + timedelta(days=2))
    assert found is not None
    known = of_rows(some.rows(GAP, LIVE + timedelta(hours=1), "4h").sort("pool_id", "as_of"))
    assert known is not None
    assert (found.source, found.independent) == ("gap", known.independent)
    np.testing.assert_array_equal(found.matrix, known.matrix)
    assert found.prices == known.prices
    assert found.on_demand.keys() == set(pools)
    assert of_gap(history, made, pools, GAP + timedelta(hours=20)) is None
    assert of_gap(History(tmp_path / "empty", "sim:3"), made, pools, LIVE) is None


def test_a_reference_comes_back_from_the_store_as_it_was() -> None:
    matrix = np.array([[0.1, np.nan], [0.123456789, 3.0]])
    kept = Reference("gap", ("price", "vcpu"), matrix, 7, {"a": 0.1}, {})
    back = Reference.restored(kept.stored())
    assert (back.source, back.names, back.independent, back.prices) == ("gap", ("price", "vcpu"), 7, {"a": 0.1})
    np.testing.assert_array_equal(back.matrix, matrix)
