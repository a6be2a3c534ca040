"""A slow, plain reference of the price features: exact fractions over a list of (second, micro-USD) points."""

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

H = 3600
WINDOWS = {"1h": H, "24h": 24 * H, "7d": 168 * H}
SILENCE = 25 * H
Points = list[tuple[int, int]]  # (seconds since the epoch, micro-USD per hour), sorted, each second once


def price_at(points: Points, at: int) -> int | None:
    """The price that holds at an instant; None before the first point."""
    held = [price for when, price in points if when <= at]
    return held[-1] if held else None


def pieces(points: Points, begin: int, end: int) -> list[tuple[int, int]]:
    """(seconds, price) of each constant piece of (begin, end]; empty before the first point."""
    edges = sorted({begin, end, *(when for when, _ in points if begin < when < end)})
    found = [(later - edge, price_at(points, edge)) for edge, later in pairwise(edges)]
    return [(length, price) for length, price in found if price is not None]


def change_times(points: Points) -> list[int]:
    """When the price became another than before; the first point is no change."""
    return [when for (_, before), (when, price) in pairwise(points) if price != before]


def is_partial(points: Points, begin: int, end: int) -> bool:
    """Whether a window begins before the first point or overlaps what followed 25 h of silence."""
    ends = [*(when for when, _ in points[1:]), end]
    silent = [(when + SILENCE, after) for (when, _), after in zip(points, ends, strict=True) if after > when + SILENCE]
    return points[0][0] > begin or any(since < end and until > begin for since, until in silent)


def price_features(all_points: Points, at: int) -> dict[str, float | None]:
    """The features that derive from prices, USD and hours; all None before the first point."""
    points = [(when, price) for when, price in all_points if when <= at]
    names = ["price", "hours_since_change", "slope_24h", "price_min_7d", "price_max_7d", "range_position_7d"]
    names += [f"price_{stem}_{tag}" for stem in ("mean", "std") for tag in WINDOWS] + ["changes_24h", "changes_7d"]
    if not points:
        return dict.fromkeys(names)
    now = points[-1][1]
    found: dict[str, float | None] = {"price": now / 1e6}
    for tag, window in WINDOWS.items():
        found |= _moments(points, at, tag, window)
    week = at - WINDOWS["7d"]
    seen = [price for _, price in pieces(points, week, at)] + [now]
    found |= {"price_min_7d": min(seen) / 1e6, "price_max_7d": max(seen) / 1e6}
    flat = min(seen) == max(seen)
    found["range_position_7d"] = 0.5 if flat else float(Fraction(now - min(seen), max(seen) - min(seen)))
    times = change_times(points)
    for tag in ("24h", "7d"):
        found[f"changes_{tag}"] = float(sum(at - WINDOWS[tag] < when <= at for when in times))
    last = times[-1] if times else points[0][0]
    found["hours_since_change"] = min((at - last) / H, 168.0)
    day = max(at - WINDOWS["24h"], points[0][0])
    before = price_at(points, day)
    assert before is not None
    found["slope_24h"] = float(Fraction(now - before, at - day) * H / 1_000_000) if at > day else 0.0
    return found


def _moments(points: Points, at: int, tag: str, window: int) -> dict[str, float | None]:
    parts = pieces(points, at - window, at)
    span = sum(length for length, _ in parts)
    if span == 0:
        return {f"price_mean_{tag}": points[-1][1] / 1e6, f"price_std_{tag}": 0.0}
    mean = Fraction(sum(length * price for length, price in parts), span)
    variance = sum((length * (price - mean) ** 2 for length, price in parts), Fraction(0)) / span
    return {f"price_mean_{tag}": float(mean / 10**6), f"price_std_{tag}": math.sqrt(variance) / 1e6}


def instant(second: int) -> datetime:
    """The aware instant of a second."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
