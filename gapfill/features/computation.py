"""Features from history: the one computation that training, filling, ticking and predicting share."""

from functools import reduce
from operator import or_

import polars as pl

from gapfill.features.registry import FEATURES, NAMES
from gapfill.features.state import build_state


def compute(
    points: pl.DataFrame, asks: pl.DataFrame, on_demand: pl.DataFrame, instance_types: pl.DataFrame
) -> pl.DataFrame:
    """The feature rows of the asks, in their order.

    `points` has at least pool_id, at, price_micro_usd of `frames.PRICES`, in any order, duplicates and points of other
    pools or later times allowed; give it all points since as_of - `registry.LONGEST_WINDOW` and for each pool the one
    before. `asks` has pool_id, as_of and, optionally, launched_at of `frames.ASKS`; `on_demand` and `instance_types`
    are `frames.ON_DEMAND` and `frames.INSTANCE_TYPES`.

    Returns pool_id, as_of, observed_at (UTC; the time of the last point at or before as_of, null where there is none),
    one Float64 column for each of `registry.NAMES` (null: unknown), and imputed: the names, in that order, of the
    features that are null, stand-ins, or whose window history covers only in part. Nothing later than as_of is used,
    with one exception: see `on_demand_price`. A row depends on its own pool only.

    Raises ValueError for a spot or on-demand price that is null, zero or negative.
    """
    state = build_state(points, asks, on_demand, instance_types)
    rows = state.select(
        "pool_id",
        "as_of",
        "observed_at",
        *(feature.value.cast(pl.Float64).alias(feature.name) for feature in FEATURES),
        reduce(or_, (_bit(index) for index in range(len(FEATURES)))).alias("mask"),
    )
    return rows.with_columns(_imputed_names(rows["mask"])).drop("mask")


def _bit(index: int) -> pl.Expr:
    feature = FEATURES[index]
    stands_in = feature.imputed.fill_null(value=True) | feature.value.is_null()
    return stands_in.cast(pl.Int64) * (1 << index)


def _imputed_names(mask: pl.Series) -> pl.Series:
    """The list of names behind each bit mask; a batch has few distinct ones."""
    distinct = mask.unique()
    names = [[name for index, name in enumerate(NAMES) if value >> index & 1] for value in distinct]
    table = pl.DataFrame({"mask": distinct, "imputed": pl.Series(names, dtype=pl.List(pl.String))})
    return mask.to_frame("mask").join(table, on="mask", how="left", maintain_order="left")["imputed"]
