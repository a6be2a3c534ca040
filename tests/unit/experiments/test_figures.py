"""Figures of arms against scikit-learn and scipy on the same rows, and verdicts that only data can earn."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, mean_absolute_error

from services.live.experiments.counts import ArmCounts
from services.live.experiments.experiment import Kind
from services.live.experiments.figures import ENOUGH, ArmRows, difference, interval, quality, reliability
from services.live.experiments.standing import arm_rows, standing_of
from tests.unit.experiments.experiment_steps import CHALLENGER, CONTROL, experiment, outcomes, pool_ids


def rows_of(skills: tuple[float, float], *, apart: bool = True, pools: int = 40) -> pl.DataFrame:
    """Both arms' rows: over other pools (A/B), or of the same pools and fates (the shadow)."""
    first = pools if apart else 0
    mine = outcomes("control", CONTROL, skill=skills[0], pools=pools)
    other = outcomes("challenger", CHALLENGER, skill=skills[1], pools=pools, seed=2 if apart else 1, first=first)
    return pl.concat([mine, other])


def prices(pools: int = 30, per_pool: int = 20) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    size = pools * per_pool
    naive = rng.uniform(0.03, 0.2, size)
    outcome = naive * rng.lognormal(0, 0.1, size)
    return pl.DataFrame(
        {
            "pool_id": [pool for pool in pool_ids(pools) for _ in range(per_pool)],
            "value": outcome * rng.lognormal(0, 0.05, size),
            "outcome": outcome,
            "naive": naive,
            "count": [2] * size,
        }
    )


def test_scores_are_scikit_learns() -> None:
    rows = outcomes("control", CONTROL, skill=0.7)
    arm = ArmRows.of("spot_interruption", rows)
    struck, told = rows["outcome"].to_numpy(), rows["value"].to_numpy()
    brier = brier_score_loss(struck, told)
    assert float(arm.mean_loss(arm.places)) == pytest.approx(brier)
    reference = brier_score_loss(struck, np.full(len(struck), 0.3))
    assert float(arm.skill(arm.places)) == pytest.approx(1 - brier / reference)
    assert float(arm.mean_excess(arm.places)) == pytest.approx(told.mean() - struck.mean())
    happened, predicted = calibration_curve(struck, told, n_bins=10)
    curve = reliability(arm)
    assert [row["happened"] for row in curve] == pytest.approx(happened)
    assert [row["predicted"] for row in curve] == pytest.approx(predicted)
    assert sum(row["outcomes"] for row in curve) == len(told)


def test_price_errors_are_scikit_learns() -> None:
    rows = prices()
    arm = ArmRows.of("spot_price", rows)
    error = mean_absolute_error(rows["outcome"], rows["value"])
    assert float(arm.mean_loss(arm.places)) == pytest.approx(error)
    assert float(arm.skill(arm.places)) == pytest.approx(
        1 - error / mean_absolute_error(rows["outcome"], rows["naive"])
    )
    told = quality(arm)
    assert told["mae_usd_per_hour"]["low"] < error < told["mae_usd_per_hour"]["high"]
    assert (told["outcomes"], told["answers"], told["missing"]) == (600, 1200, [])
    assert "curve" not in told["calibration"]


def test_an_interval_is_as_wide_as_pools_differ_not_as_rows_are_many() -> None:
    """With rows that repeat within their pool, the normal interval of the pools' means is what must come out."""
    rng = np.random.default_rng(5)
    means = rng.normal(0.3, 0.05, 200)
    rows = pl.DataFrame(
        {
            "pool_id": [pool for pool in pool_ids(200) for _ in range(50)],
            "value": np.repeat(means, 50),
            "outcome": 0.0,
            "naive": 1.0,
            "count": 1,
        }
    )
    arm = ArmRows.of("spot_price", rows)
    found = interval(arm.mean_excess, arm.places)
    half = norm.ppf(0.975) * means.std(ddof=1) / np.sqrt(len(means))
    assert found.value == pytest.approx(means.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    by_row = half / np.sqrt(50)
    assert found.high - found.low > 5 * 2 * by_row


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(60):
        means = rng.normal(0.0, 1.0, 25)
        rows = pl.DataFrame({"pool_id": pool_ids(25), "value": means, "outcome": 0.0, "naive": 1.0, "count": 1})
        arm = ArmRows.of("spot_price", rows)
        found = interval(arm.mean_excess, arm.places)
        held += found.low <= 0.0 <= found.high
    assert held >= 52


@pytest.mark.parametrize("kind", ["ab", "shadow"])
@pytest.mark.parametrize(
    ("skills", "verdict"),
    [((0.2, 0.9), "challenger_better"), ((0.9, 0.2), "control_better"), ((0.6, 0.6), "no_difference_shown")],
)
def test_verdicts(kind: Kind, skills: tuple[float, float], verdict: str) -> None:
    one = experiment(kind=kind)
    rows = rows_of(skills, apart=kind == "ab")
    told = standing_of(one, {arm.arm: ArmCounts() for arm in one.arms}, rows, pool_ids(100))
    (comparison,) = told["comparisons"]
    assert (comparison["verdict"], comparison["missing"]) == (verdict, [])
    assert sum(arm["tracked_pools"] for arm in told["standing"].values()) == 100
    assert told["intervals"]["paired"] is (kind == "shadow")


def test_the_same_fates_tell_more_than_others() -> None:
    """Pools differ more than models do: paired, the same data give a narrower interval."""
    by_arm = arm_rows(experiment(kind="shadow"), rows_of((0.6, 0.7), apart=False))
    paired = difference(by_arm["control"], by_arm["challenger"], paired=True)
    apart = difference(by_arm["control"], by_arm["challenger"], paired=False)
    assert paired is not None
    assert apart is not None
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.8 * (apart.high - apart.low)


def test_what_is_missing_is_said() -> None:
    few = outcomes("control", CONTROL, skill=0.5, pools=6, per_pool=20)
    told = quality(ArmRows.of("spot_interruption", few))
    assert told["missing"][:2] == [f"120 of {ENOUGH.outcomes} known outcomes", f"6 of {ENOUGH.pools} pools"]
    assert "skill" not in told
    quiet = outcomes("control", CONTROL, skill=0.5).with_columns(outcome=pl.lit(0.0))
    assert quality(ArmRows.of("spot_interruption", quiet))["missing"] == ["0 of 5 pools with an interruption"]
    still = prices().with_columns(naive=pl.col("outcome"))
    assert quality(ArmRows.of("spot_price", still))["missing"] == ["0 of 5 pools whose price moved"]
    nothing = quality(ArmRows.of("spot_interruption", few.clear()))
    assert nothing["missing"][0] == "0 of 200 known outcomes"


def test_an_arm_is_judged_by_its_own_models_answers_alone() -> None:
    mine = rows_of((0.5, 0.9))
    stand_ins = mine.filter(pl.col("arm") == "challenger").with_columns(model_id=pl.lit(CONTROL), value=pl.lit(0.0))
    one = experiment()
    assert len(arm_rows(one, pl.concat([mine, stand_ins]))["challenger"].value) == 1000
    rate = mine["outcome"].mean()
    arms = arm_rows(one, mine)
    brier = ((pl.lit(rate) - pl.col("outcome")) ** 2).sum()
    for arm, told in arms.items():
        assert told.naive_loss.sum() == pytest.approx(mine.filter(pl.col("arm") == arm).select(brier).item())
