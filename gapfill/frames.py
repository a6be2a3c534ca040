"""The shapes of the tables that rooms hand to each other, as Polars schemas.

Money is int64 micro-USD per hour, instants are UTC with microseconds; a `pool_id` is `region/zone/type/product`.
"""

import polars as pl

INSTANT = pl.Datetime("us", "UTC")

# One price point: the price holds from `at` until the pool's next point.
PRICES = pl.Schema(
    {
        "pool_id": pl.String(),
        "zone_id": pl.String(),  # "" where the source did not say
        "at": INSTANT,
        "price_micro_usd": pl.Int64(),
    }
)

# An on-demand price, holding from `at` (when it was first seen) until the next one of its (region, type, product).
ON_DEMAND = pl.Schema(
    {
        "region": pl.String(),
        "instance_type": pl.String(),
        "product": pl.String(),
        "at": INSTANT,
        "price_micro_usd": pl.Int64(),
    }
)

# What an instance type is made of.
INSTANCE_TYPES = pl.Schema(
    {
        "instance_type": pl.String(),
        "vcpu": pl.Int64(),
        "memory_mib": pl.Int64(),
        "architecture": pl.String(),  # x86_64, arm64
        "gpus": pl.Int64(),
    }
)

# Where and when features are wanted; `launched_at` is null where no instance is meant (age 0: a launch now).
ASKS = pl.Schema({"pool_id": pl.String(), "as_of": INSTANT, "launched_at": INSTANT})

# A prediction made from data at or before `as_of`, about `target_at` = as_of + horizon.
PREDICTIONS = pl.Schema(
    {
        "model_id": pl.String(),
        "task": pl.String(),  # spot_interruption (value: probability) or spot_price (value: USD per hour)
        "pool_id": pl.String(),
        "as_of": INSTANT,
        "target_at": INSTANT,
        "made_at": INSTANT,
        "origin": pl.String(),  # gap, live, served
        "value": pl.Float64(),
        "confidence": pl.Float64(),  # 0..1, see services/models/confidence.py
        "imputed": pl.List(pl.String()),  # the model's features that were not fully observed
    }
)

# Predictions that were asked for, or made for an experiment: identical answers of a batch are one row with a count.
SERVED = pl.Schema(
    {
        **PREDICTIONS,
        "experiment": pl.String(),  # "" outside experiments
        "arm": pl.String(),
        "count": pl.Int64(),
        "what_if": pl.Boolean(),  # asked for a price that the pool does not have: no figure is drawn from it
        "batch": pl.String(),  # which batch of the spool it came with, "" for what did not come by the spool
    }
)

# What is known of a prediction once `target_at` has passed; it is the same for every model that made one.
OUTCOMES = pl.Schema(
    {
        "task": pl.String(),
        "pool_id": pl.String(),
        "as_of": INSTANT,
        "target_at": INSTANT,
        "status": pl.String(),  # observed, unknown
        "actual": pl.Float64(),  # USD per hour at target_at; 1 interrupted, 0 not; null when unknown
        "naive": pl.Float64(),  # the price at as_of, USD per hour; null for interruptions
        "counts": pl.Boolean(),  # whether accuracy may use it: see services/live/ledger/settling.py
    }
)

# A warning that AWS takes a spot instance back, as told once.
INTERRUPTIONS = pl.Schema(
    {
        "event_id": pl.String(),
        "at": INSTANT,  # of the warning
        "account": pl.String(),
        "region": pl.String(),
        "instance_id": pl.String(),
        "action": pl.String(),  # terminate, stop, hibernate
        "pool_id": pl.String(),  # "" where nobody knows the instance
        "cluster_id": pl.String(),  # "" likewise
        "injected": pl.Boolean(),  # a test (AWS FIS): the market did not do it
    }
)

# From `at` on a cluster holds a spot node, or does no more.
EXPOSURES = pl.Schema(
    {
        "cluster_id": pl.String(),
        "node_id": pl.String(),
        "pool_id": pl.String(),
        "at": INSTANT,
        "held": pl.Boolean(),
    }
)
