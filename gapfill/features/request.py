"""What a request's own spot price and launch time do to feature rows; plain numpy, for it is on the hot path."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gapfill.errors import FeatureRequestInvalid

# A launch planned further ahead is refused: nothing that is known now speaks of it.
MOST_AHEAD = timedelta(days=30)
# As the tables keep prices: a request's price lies in the range as if it had been observed.
_MICRO = 1e6
_HOUR_US = 3.6e9
_US = timedelta(microseconds=1)

Rows = NDArray[np.float64]


@lru_cache(maxsize=64)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def apply_request(
    rows: Rows,
    names: Sequence[str],
    *,
    now: datetime,
    spot_price: float | None = None,
    launch_time: datetime | None = None,
) -> Rows:
    """A copy of the feature rows, float64[n, names] or float64[names], as the request wants them.

    `spot_price` (USD per hour) replaces the price and what derives from it alone, the ratio and the place in the 7-day
    range (0 below it, 1 above it); the windows stay. `launch_time` sets the age: that of a running instance when it is
    past, 0 when it is planned. Hour and weekday become those of the later of `now` and `launch_time`. The rows must
    have all columns that these derive from: `names` are `registry.NAMES`, or contain them. Both times are aware.

    Raises FeatureRequestInvalid for a price that is none and for a launch over 30 days ahead or without a time zone.
    """
    places = _places(tuple(names))
    changed = rows.copy()
    if spot_price is not None:
        _set_price(changed, places, spot_price)
    _set_times(changed, places, now, launch_time)
    return changed


def now_observed(imputed: NDArray[np.bool_], names: Sequence[str], *, spot_price: float | None) -> NDArray[np.bool_]:
    """A copy of the imputed flags, of the rows' shape, in which a price that the request gave is no stand-in."""
    changed = imputed.copy()
    if spot_price is not None:
        places = _places(tuple(names))
        changed[..., places["price"]] = False
        changed[..., places["price_ratio"]] = changed[..., places["on_demand_price"]]
    return changed


def _set_price(rows: Rows, places: dict[str, int], spot_price: float) -> None:
    if not (math.isfinite(spot_price) and spot_price > 0):
        raise FeatureRequestInvalid("spot_price", f"{spot_price} is no price", "send USD per hour, above 0")
    price, ratio, position = places["price"], places["price_ratio"], places["range_position_7d"]
    on_demand, low, high = places["on_demand_price"], places["price_min_7d"], places["price_max_7d"]
    # A request touches one row per zone: a loop over Python floats beats a dozen calls on tiny arrays.
    for row in rows if rows.ndim == 2 else (rows,):
        row[price] = spot_price
        row[ratio] = spot_price / float(row[on_demand])
        row[position] = _position(spot_price, float(row[low]), float(row[high]))


def _position(price: float, low: float, high: float) -> float:
    """Where a price stands between two others, compared in whole micro-USD; NaN where they are unknown."""
    if math.isnan(low) or math.isnan(high):
        return math.nan
    at, bottom, top = round(price * _MICRO), round(low * _MICRO), round(high * _MICRO)
    if bottom <= at <= top:
        return (at - bottom) / (top - bottom) if top > bottom else 0.5
    return 0.0 if at < bottom else 1.0


def _set_times(rows: Rows, places: dict[str, int], now: datetime, launch_time: datetime | None) -> None:
    clock, age = now, 0.0
    if launch_time is not None:
        if launch_time.tzinfo is None:
            raise FeatureRequestInvalid("launch_time", "has no time zone", "end it with Z or an offset")
        if launch_time - now > MOST_AHEAD:
            detail = f"is over {MOST_AHEAD.days} days ahead"
            raise FeatureRequestInvalid("launch_time", detail, "send a launch within the next 30 days, or a past one")
        clock = max(now, launch_time)
        age = max((now - launch_time) // _US, 0) / _HOUR_US
    clock = clock.astimezone(UTC)
    rows[..., places["hours_since_launch"]] = age
    rows[..., places["hour"]] = clock.hour
    rows[..., places["day_of_week"]] = clock.weekday()
