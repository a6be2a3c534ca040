"""The features: their names (final: models are fitted with them), units, windows, null policies and formulas.

To add a feature, add one entry to `FEATURES`; its `value` is an expression over the columns of `state.State`. Every
window is open on the left and closed on the right, (as_of - window, as_of]: a point exactly `window` ago sets the
price at the window's start, a change exactly then is no longer counted, one exactly at `as_of` is.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

H1 = timedelta(hours=1)
H24 = timedelta(hours=24)
D7 = timedelta(days=7)
# The history that a row needs before its `as_of`; the point before that (carry-in) is needed as well.
LONGEST_WINDOW = D7

_NO_PRICE = "null before the pool's first point"
_PARTIAL = f"{_NO_PRICE}; over the covered part, and imputed, where history covers the window only in part"
_TYPE = "from the size name, and imputed, where the type's make-up is not known; null where the name does not tell"
_ALWAYS = "never null"


@dataclass(frozen=True)
class Feature:
    """One feature; `value` is Float64 or null, `imputed` says where the value is a stand-in (nulls always are)."""

    name: str
    unit: str
    window: timedelta | None
    null_policy: str
    sentence: str
    value: pl.Expr
    imputed: pl.Expr


_NEVER = pl.lit(False)
# Columns, not constants: Polars multiplies by the reciprocal of a constant, and 42000 / 1e6 would not be 0.042.
USD, HOUR = pl.col("micro_usd"), pl.col("hour_us")
_PRICE = pl.col("price") / USD
_ON_DEMAND = pl.col("on_demand") / USD
_LOW, _HIGH = pl.col("low_7d") / USD, pl.col("high_7d") / USD
_RATIO = _PRICE / _ON_DEMAND
_SPREAD = pl.col("high_7d") - pl.col("low_7d")
_POSITION = pl.when(_SPREAD == 0).then(0.5).otherwise((pl.col("price") - pl.col("low_7d")) / _SPREAD)
_SPAN_24H = pl.col("span_24h") / HOUR
_SLOPE = (
    pl.when(_SPAN_24H > 0)
    .then((pl.col("price") - pl.col("start_24h")) / USD / _SPAN_24H)
    .otherwise(pl.when(pl.col("price").is_null()).then(None).otherwise(0.0))
)


def _windowed(stem: str, unit: str, window: timedelta, tag: str, sentence: str, value: pl.Expr) -> Feature:
    return Feature(f"{stem}_{tag}", unit, window, _PARTIAL, sentence, value, pl.col(f"partial_{tag}"))


def _moments(window: timedelta, tag: str, words: str) -> tuple[Feature, Feature]:
    mean = f"The time-weighted mean of the price over the last {words}."
    std = f"The time-weighted standard deviation of the price over the last {words}."
    return (
        _windowed("price_mean", "USD per hour", window, tag, mean, pl.col(f"mean_{tag}") / USD),
        _windowed("price_std", "USD per hour", window, tag, std, pl.col(f"std_{tag}") / USD),
    )


_MEANS, _STDS = zip(
    *(_moments(*one) for one in ((H1, "1h", "hour"), (H24, "24h", "24 hours"), (D7, "7d", "7 days"))), strict=True
)

FEATURES: tuple[Feature, ...] = (
    Feature(
        "price",
        "USD per hour",
        None,
        f"{_NO_PRICE}; imputed after 25 h without a record",
        "The spot price that holds at as_of.",
        _PRICE,
        pl.col("silent"),
    ),
    Feature(
        "on_demand_price",
        "USD per hour",
        None,
        "null where never seen; before it was first seen, the earliest one known, and imputed",
        "The on-demand price of the same region, type and product.",
        _ON_DEMAND,
        pl.col("on_demand_backward"),
    ),
    Feature(
        "price_ratio",
        "1",
        None,
        "null where either price is; imputed where either is",
        "The spot price over the on-demand price.",
        _RATIO,
        pl.col("silent") | pl.col("on_demand_backward"),
    ),
    *_MEANS,
    *_STDS,
    _windowed("price_min", "USD per hour", D7, "7d", "The lowest price that held in the last 7 days.", _LOW),
    _windowed("price_max", "USD per hour", D7, "7d", "The highest price that held in the last 7 days.", _HIGH),
    _windowed(
        "range_position",
        "1",
        D7,
        "7d",
        "Where the price stands between the lowest (0) and the highest (1) of the last 7 days; 0.5 if it never moved.",
        _POSITION,
    ),
    _windowed(
        "changes",
        "count",
        H24,
        "24h",
        "How often the price changed in the last 24 hours; a record that repeats the price is no change.",
        pl.col("changes_24h"),
    ),
    _windowed(
        "changes",
        "count",
        D7,
        "7d",
        "How often the price changed in the last 7 days; a record that repeats the price is no change.",
        pl.col("changes_7d"),
    ),
    Feature(
        "hours_since_change",
        "hours",
        D7,
        f"{_NO_PRICE}; where no change is known in the last 7 days: 168, or the hours since the first point if fewer, "
        "and imputed where history covers the 7 days only in part",
        "Hours since the price last changed, at most 168.",
        pl.col("since_change") / HOUR,
        pl.col("partial_7d"),
    ),
    _windowed(
        "slope",
        "USD per hour, per hour",
        H24,
        "24h",
        "The price now minus the price 24 hours ago, over 24 hours (over the covered part; 0 if that is empty).",
        _SLOPE,
    ),
    Feature(
        "hours_since_launch",
        "hours",
        None,
        f"{_ALWAYS}; 0 where no instance is meant or its launch lies ahead",
        "The age of the instance at as_of.",
        pl.col("age") / HOUR,
        _NEVER,
    ),
    Feature(
        "hour",
        "hour of the day, 0-23",
        None,
        _ALWAYS,
        "The UTC hour of as_of, or of the launch where that is later.",
        pl.col("clock").dt.hour(),
        _NEVER,
    ),
    Feature(
        "day_of_week",
        "day, 0 (Monday) to 6",
        None,
        _ALWAYS,
        "The UTC weekday of as_of, or of the launch where that is later.",
        pl.col("clock").dt.weekday() - 1,
        _NEVER,
    ),
    Feature(
        "vcpu",
        "vCPU",
        None,
        _TYPE,
        "The virtual CPUs of the instance type.",
        pl.col("vcpu"),
        pl.col("vcpu_by_rule"),
    ),
    Feature(
        "memory_gib",
        "GiB",
        None,
        _TYPE,
        "The memory of the instance type.",
        pl.col("memory_mib") / 1024,
        pl.col("memory_by_rule"),
    ),
    Feature(
        "size_rank",
        "doublings",
        None,
        "null where the size's name is not known",
        "The rank of the size in its family: nano 0, micro 1 … large 4, xlarge 5, Nxlarge 5 + log2 N, metal 12.",
        pl.col("size_rank"),
        _NEVER,
    ),
)

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


def unknown(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which of the names are no features, each with the known names that look most like it (at most three)."""
    known = set(NAMES)
    return {name: tuple(difflib.get_close_matches(name, NAMES, n=3)) for name in names if name not in known}
