"""The rows next to every boundary: windows' ends, first points, launches, on-demand prices, unknown types, refusals."""

from datetime import timedelta

import polars as pl
import pytest

from gapfill.features import compute
from gapfill.features.registry import FEATURES, NAMES, unknown
from tests.unit.features import feature_frames as frames
from tests.unit.features.feature_frames import OTHER, POOL, START
from tests.unit.features.feature_reference import H, instant

DAY = 24 * H


def _row(frame: pl.DataFrame, index: int = 0) -> dict[str, object]:
    return frame.row(index, named=True)


def test_a_change_exactly_a_window_ago_no_longer_counts_and_one_right_now_does() -> None:
    points = [(START, 40_000), (START + DAY, 41_000), (START + 2 * DAY, 42_000)]
    rows = frames.rows_of({POOL: points}, [(POOL, START + 2 * DAY - 1), (POOL, START + 2 * DAY)])
    assert rows["changes_24h"].to_list() == [1.0, 1.0]
    assert rows["price"].to_list() == [0.041, 0.042]
    assert rows["hours_since_change"].to_list() == [(DAY - 1) / H, 0.0]


def test_the_price_before_the_week_is_in_the_range_only_while_it_holds_in_it() -> None:
    points = [(START, 90_000), (START + H, 40_000), (START + 2 * H, 41_000)]
    at = START + H + 7 * DAY
    rows = frames.rows_of({POOL: points}, [(POOL, at - 1), (POOL, at)])
    assert rows["price_max_7d"].to_list() == [0.09, 0.041]
    assert rows["price_min_7d"].to_list() == [0.04, 0.04]


def test_a_window_that_begins_with_the_first_point_is_covered() -> None:
    rows = frames.rows_of({POOL: [(START, 40_000)]}, [(POOL, START + H), (POOL, START + H - 1)])
    assert "price_mean_1h" not in _row(rows, 0)["imputed"]  # type: ignore[operator]
    assert "price_mean_1h" in _row(rows, 1)["imputed"]  # type: ignore[operator]


def test_at_its_first_point_a_pool_has_a_price_and_nothing_behind_it() -> None:
    row = _row(frames.rows_of({POOL: [(START, 40_000)]}, [(POOL, START)]))
    assert (row["price"], row["price_mean_7d"], row["price_std_7d"], row["slope_24h"]) == (0.04, 0.04, 0.0, 0.0)
    assert row["range_position_7d"] == 0.5
    assert row["observed_at"] == instant(START)
    assert "price" not in row["imputed"]  # type: ignore[operator]


def test_before_its_first_point_a_pool_has_no_price_features_and_says_so() -> None:
    rows = frames.rows_of({POOL: [(START, 40_000)]}, [(POOL, START - 1), (OTHER, START)])
    priced = [f.name for f in FEATURES if f.name.startswith(("price", "range", "changes", "slope", "hours_since_c"))]
    assert len(priced) == 15
    for row in rows.iter_rows(named=True):
        assert row["observed_at"] is None
        assert [row[name] for name in priced] == [None] * len(priced)
        assert set(priced) <= set(row["imputed"])


def test_no_points_and_no_asks_keep_the_shape() -> None:
    for frame in (frames.rows_of({}, [(POOL, START)]), frames.rows_of({POOL: [(START, 1)]}, [])):
        assert frame.columns == ["pool_id", "as_of", "observed_at", *NAMES, "imputed"]
        assert all(frame.schema[name] == pl.Float64 for name in NAMES)
        assert frame.schema["imputed"] == pl.List(pl.String)
    assert frames.rows_of({}, [(POOL, START)]).height == 1


def test_a_silence_of_over_25_hours_marks_the_windows_that_overlap_it_and_the_price_within_it() -> None:
    points = [(START + hour * H, 40_000) for hour in (*range(0, 192, 24), 250, 270)]
    inside, after, long_after = (START + hour * H for hour in (194, 251, 274))
    rows = frames.rows_of({POOL: points}, [(POOL, at) for at in (inside, after, long_after)])
    flags = [set(row["imputed"]) for row in rows.iter_rows(named=True)]
    assert "price" in flags[0]
    assert {"price_mean_1h", "changes_24h", "changes_7d"} <= flags[0]
    assert "price" not in flags[1]
    assert "price_mean_1h" not in flags[1]
    assert {"changes_24h", "price_mean_24h", "hours_since_change"} <= flags[1]
    assert "changes_24h" not in flags[2]
    assert "changes_7d" in flags[2]


def test_on_demand_is_the_last_seen_price_and_before_that_the_earliest_marked_as_imputed() -> None:
    place = ("us-east-1", "m5.large", "Linux/UNIX")
    listed = frames.on_demand([(*place, START + 10, 96_000), (*place, START + 20, 100_000)])
    wanted = [(POOL, START + second) for second in (9, 10, 19, 20)] + [(OTHER, START + 30)]
    rows = compute(frames.prices({POOL: [(START, 48_000)]}), frames.asks(wanted), listed, frames.types())
    assert rows["on_demand_price"].to_list() == [0.096, 0.096, 0.096, 0.1, None]
    assert rows["price_ratio"].to_list() == [0.5, 0.5, 0.5, 0.48, None]
    marked = [{"on_demand_price", "price_ratio"} & set(row) for row in rows["imputed"]]
    assert [len(names) for names in marked] == [2, 0, 0, 0, 2]


def test_age_hour_and_weekday_follow_the_launch() -> None:
    at = START + 100 * H
    cases = {None: 0.0, instant(at - 5400): 1.5, instant(at): 0.0, instant(at + 30 * H): 0.0}
    for launched, age in cases.items():
        wanted = frames.asks([(POOL, at)], launched)
        row = _row(compute(frames.prices({}), wanted, frames.on_demand(), frames.types()))
        clock = max(instant(at), launched or instant(at))
        assert (row["hours_since_launch"], row["hour"], row["day_of_week"]) == (age, clock.hour, clock.weekday())


def test_asks_without_a_launch_column_mean_a_launch_now() -> None:
    without = frames.asks([(POOL, START)]).drop("launched_at")
    for wanted in (without, without.with_columns(launched_at=None)):
        row = _row(compute(frames.prices({}), wanted, frames.on_demand(), frames.types()))
        assert row["hours_since_launch"] == 0.0
        assert row["hour"] == instant(START).hour


@pytest.mark.parametrize(
    ("name", "told", "expected", "imputed"),
    [
        ("m5.large", (2, 8192), (2.0, 8.0, 4.0), set()),
        ("m5.large", None, (2.0, 8.0, 4.0), {"vcpu", "memory_gib"}),
        ("c6g.4xlarge", None, (16.0, 32.0, 7.0), {"vcpu", "memory_gib"}),
        ("c5n.large", None, (None, None, 4.0), {"vcpu", "memory_gib"}),
        ("t3.nano", (2, 512), (2.0, 0.5, 0.0), set()),
        ("m5.metal", (96, 393216), (96.0, 384.0, 12.0), set()),
        ("u7i.112xlarge", None, (None, None, 11.807354922057604), {"vcpu", "memory_gib"}),
        ("x9.giant", None, (None, None, None), {"vcpu", "memory_gib", "size_rank"}),
    ],
)
def test_what_a_type_is_made_of(
    name: str, told: tuple[int, int] | None, expected: tuple[float | None, ...], imputed: set[str]
) -> None:
    table = frames.types([(name, *told)] if told else [])
    wanted = frames.asks([(f"us-east-1/us-east-1a/{name}/Linux/UNIX", START)])
    row = _row(compute(frames.prices({}), wanted, frames.on_demand(), table))
    assert (row["vcpu"], row["memory_gib"], row["size_rank"]) == expected
    assert {"vcpu", "memory_gib", "size_rank"} & set(row["imputed"]) == imputed  # type: ignore[call-overload]


@pytest.mark.parametrize("price", [0, -1, None])
def test_what_is_no_price_is_refused(price: int | None) -> None:
    good = frames.prices({POOL: [(START, 40_000)]})
    bad = good.with_columns(pl.lit(price, pl.Int64).alias("price_micro_usd"))
    listed = frames.on_demand([("us-east-1", "m5.large", "Linux/UNIX", START, 1)])
    bad_listed = listed.with_columns(pl.lit(price, pl.Int64).alias("price_micro_usd"))
    with pytest.raises(ValueError, match="not a price"):
        compute(pl.concat([good, bad]), frames.asks([(POOL, START)]), listed, frames.types())
    with pytest.raises(ValueError, match="not a price"):
        compute(good, frames.asks([(POOL, START)]), bad_listed, frames.types())


def test_of_records_that_disagree_the_higher_counts_in_any_order() -> None:
    points = frames.prices({POOL: [(START, 40_000), (START, 50_000)]})
    for one in (points, points.reverse()):
        rows = compute(one, frames.asks([(POOL, START)]), frames.on_demand(), frames.types())
        assert rows["price"].to_list() == [0.05]


def test_prices_are_the_nearest_floats_so_that_thresholds_fall_the_same_everywhere() -> None:
    points = [(START + step, 100 * step + 100) for step in range(5_000)]
    rows = frames.rows_of({POOL: points}, [(POOL, at) for at, _ in points])
    assert rows["price"].to_list() == [price / 1e6 for _, price in points]


def test_every_feature_says_what_it_is() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert feature.unit
        assert feature.null_policy
        assert feature.sentence.endswith(".")
        assert feature.sentence.count(". ") == 0
        tag = feature.name.rpartition("_")[2]
        if tag in ("1h", "24h", "7d"):
            assert feature.window == {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}[tag]


def test_names_of_features_are_final() -> None:
    words = (
        "price on_demand_price price_ratio price_mean_1h price_mean_24h price_mean_7d price_std_1h price_std_24h "
        "price_std_7d price_min_7d price_max_7d range_position_7d changes_24h changes_7d hours_since_change slope_24h "
        "hours_since_launch hour day_of_week vcpu memory_gib size_rank"
    )
    assert tuple(words.split()) == NAMES


def test_unknown_names_come_with_the_nearest_known() -> None:
    found = unknown(["price", "price_mean_7days", "zebra"])
    assert set(found) == {"price_mean_7days", "zebra"}
    assert found["price_mean_7days"][0] == "price_mean_7d"
    assert found["zebra"] == ()
