"""Features as DataFrames and files: the same numbers as the server's, from the API's own columns."""

import os
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from gapfill.errors import PriceFileInvalid
from gapfill.features import compute
from gapfill.features.registry import NAMES
from gapfill.features.table import COLUMNS, features_table, run
from tests.unit.features import feature_frames as frames
from tests.unit.features.feature_frames import POOL, START
from tests.unit.features.feature_reference import H, instant

REAL_DATA = Path(os.environ.get("CLOUDOPTIM_REAL_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
REAL_PRICES = REAL_DATA / "spot_history_sa-east-1_2020.parquet"
POINTS = [(START + 1800, 40_000), (START + 30 * H, 41_500), (START + 200 * H + 60, 39_900)]
LISTED = pd.DataFrame(
    {
        "Region": ["us-east-1", "us-east-1", "us-east-1"],
        "InstanceType": ["m5.large", "c5.large", "r5.large"],
        "OnDemandPrice": [0.096, 0.085, 0.0],
        "vCPU": [2, 2, 2],
        "MemoryGiB": [8.0, 4.0, 16.0],
    }
)


def _api_rows(points: list[tuple[int, int]] = POINTS) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Timestamp": [instant(at) for at, _ in points],
            "AvailabilityZone": "us-east-1a",
            "InstanceType": "m5.large",
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": [f"{price / 1e6:.6f}" for _, price in points],
        }
    )


def test_a_table_has_every_whole_hour_and_the_servers_own_numbers() -> None:
    table = features_table(_api_rows(), on_demand=LISTED)
    assert tuple(table.columns) == COLUMNS
    hours = [START + hour * H for hour in range(1, 201)]
    assert table["as_of"].tolist() == [pd.Timestamp(instant(at)) for at in hours]
    listed = frames.on_demand([("us-east-1", "m5.large", "Linux/UNIX", 0, 96_000)])
    asked = frames.asks([(POOL, at) for at in hours])
    rows = compute(frames.prices({POOL: POINTS}), asked, listed, frames.types([("m5.large", 2, 8192)]))
    pd.testing.assert_frame_equal(table[list(NAMES)], rows.select(NAMES).to_pandas())
    assert table["imputed"].tolist() == [",".join(names) for names in rows["imputed"]]


def test_a_step_may_be_another_than_an_hour() -> None:
    table = features_table(_api_rows(), every="6h")
    assert set(table["as_of"].dt.hour) == {0, 6, 12, 18}
    for wrong in ("fortnight", "0h", "-1h"):
        with pytest.raises(ValueError, match="not a duration"):
            features_table(_api_rows(), every=wrong)


def test_times_without_a_zone_are_utc_and_prices_may_be_numbers() -> None:
    rows = _api_rows()
    naive = rows.assign(Timestamp=rows["Timestamp"].dt.tz_localize(None), SpotPrice=rows["SpotPrice"].astype(float))
    pd.testing.assert_frame_equal(features_table(rows), features_table(naive))


def test_zero_negative_and_unreadable_prices_are_left_out() -> None:
    rows = _api_rows()
    bad = pd.concat([rows.iloc[[1]].assign(SpotPrice=price) for price in ("0.000000", "-1", "nan", "?", "inf")])
    bad["Timestamp"] += pd.Timedelta(minutes=1)
    pd.testing.assert_frame_equal(features_table(rows), features_table(pd.concat([bad, rows])))


def test_a_region_follows_from_a_zone_id_as_well() -> None:
    table = features_table(_api_rows().assign(AvailabilityZone="use1-az1"), on_demand=LISTED)
    assert table["on_demand_price"].eq(0.096).all()
    assert table["AvailabilityZone"].eq("use1-az1").all()


def test_missing_columns_and_strange_zones_are_named() -> None:
    with pytest.raises(PriceFileInvalid, match="SpotPrice"):
        features_table(_api_rows().drop(columns="SpotPrice"))
    with pytest.raises(PriceFileInvalid, match="nowhere"):
        features_table(_api_rows().assign(AvailabilityZone="nowhere"))
    with pytest.raises(PriceFileInvalid, match="price"):
        features_table(_api_rows(), on_demand=LISTED.drop(columns="OnDemandPrice"))


def test_an_empty_table_gives_an_empty_table() -> None:
    table = features_table(_api_rows([]))
    assert tuple(table.columns) == COLUMNS
    assert table.empty


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_from_file_to_file(tmp_path: Path, suffix: str) -> None:
    prices, listed, out = tmp_path / "prices.csv", tmp_path / "on_demand.csv", tmp_path / f"features{suffix}"
    _api_rows().to_csv(prices, index=False)
    LISTED.to_csv(listed, index=False)
    written = run(prices, out, on_demand_path=listed)
    read = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out, parse_dates=["as_of"])
    expected = features_table(_api_rows(), on_demand=LISTED)
    assert (written.rows, written.pools, written.refused) == (len(expected), 1, 0)
    pd.testing.assert_frame_equal(read[list(NAMES)], expected[list(NAMES)])
    assert read["as_of"].tolist() == expected["as_of"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([prices.name, listed.name, out.name])


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    _api_rows().to_csv(prices, index=False)
    with pytest.raises(ValueError, match="not a duration"):
        run(prices, tmp_path / "out.csv", every="soon")
    with pytest.raises(ValueError, match=r"must end in \.csv or \.parquet"):
        run(prices, tmp_path / "out.xlsx")
    with pytest.raises(PriceFileInvalid):
        run(prices, tmp_path / "out.csv", on_demand_path=tmp_path / "absent.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_PRICES.exists(), reason=f"no real data at {REAL_DATA}")
def test_no_zero_price_of_the_real_history_reaches_a_feature() -> None:
    words = pl.col("AvailabilityZone", "InstanceType", "ProductDescription").cast(pl.String)
    prices = pl.read_parquet(REAL_PRICES).with_columns(words).filter(pl.col("InstanceType").str.starts_with("r5ad."))
    zeros = prices.filter(pl.col("SpotPrice").cast(pl.Float64) <= 0)
    assert zeros.height == 2
    listed = pd.read_csv(REAL_DATA / "on_demand_2019-04-05.csv")
    pools = zeros.select("AvailabilityZone", "InstanceType", "ProductDescription").unique()
    table = features_table(prices.join(pools, on=pools.columns, how="semi").to_pandas(), on_demand=listed)
    moments = zeros["Timestamp"]
    assert table["as_of"].min() < moments.min() < table["as_of"].max()
    for name in ("price", "price_min_7d", "price_mean_1h", "price_mean_24h", "price_mean_7d"):
        assert (table[name] > 0).all()
    assert (table["price_min_7d"] > 0.5 * table["price_max_7d"]).all()
    known = table["price_ratio"].dropna()
    assert known.between(0.1, 1.0).all()
