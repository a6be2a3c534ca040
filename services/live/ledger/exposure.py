"""Exposure: in which pools known clusters held spot nodes, from when until when."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from gapfill.frames import EXPOSURES, INSTANT

# A cluster that nobody has put for so long may have changed without our knowing: its nodes stop to count as held.
LONGEST_SILENCE = timedelta(hours=24)

SPANS = pl.Schema({"pool_id": pl.String(), "start": INSTANT, "end": INSTANT})


def spans(
    changes: pl.DataFrame, interruptions: pl.DataFrame, confirmed: Mapping[str, datetime], now: datetime
) -> pl.DataFrame:
    """Stretches in which a pool was held by at least one node (`SPANS`), sorted, disjoint within a pool.

    `changes` are `frames.EXPOSURES`; a warning in `interruptions` (`frames.INTERRUPTIONS`) ends its node's stretch.
    `confirmed` says when each cluster was last put: a node that still stands counts until now, but at most 24 h past
    that.
    """
    rows = pl.concat([changes.select(*EXPOSURES), _ended_by(interruptions)])
    if rows.is_empty():
        return pl.DataFrame(schema=SPANS)
    node = ["cluster_id", "node_id", "pool_id"]
    last = pl.DataFrame(
        {"cluster_id": list(confirmed), "seen": [at + LONGEST_SILENCE for at in confirmed.values()]},
        schema={"cluster_id": pl.String(), "seen": INSTANT},
    )
    # A node that left and joined at one instant stands: "left" sorts before "joined".
    held = (
        rows.sort(*node, "at", "held")
        .with_columns(pl.col("at").shift(-1).over(node).alias("end"))
        .filter("held")
        .join(last, on="cluster_id", how="left")
        .with_columns(
            pl.coalesce("end", pl.min_horizontal(pl.col("seen").fill_null(pl.col("at")), pl.lit(now, dtype=INSTANT)))
        )
        .select("pool_id", pl.col("at").alias("start"), "end")
        .filter(pl.col("end") > pl.col("start"))
        .sort("pool_id", "start")
    )
    return _merged(held)


def _ended_by(interruptions: pl.DataFrame) -> pl.DataFrame:
    known = interruptions.filter(pl.col("cluster_id") != "")
    return known.select(
        "cluster_id", pl.col("instance_id").alias("node_id"), "pool_id", "at", pl.lit(value=False).alias("held")
    )


def _merged(stretches: pl.DataFrame) -> pl.DataFrame:
    """Stretches of a pool that touch become one."""
    reach = pl.col("end").cum_max().shift(1).over("pool_id")
    return (
        stretches.with_columns((reach.is_null() | (pl.col("start") > reach)).alias("begins"))
        .with_columns(pl.col("begins").cum_sum().over("pool_id").alias("number"))
        .group_by("pool_id", "number")
        .agg(pl.col("start").min(), pl.col("end").max())
        .select(*SPANS)
        .sort("pool_id", "start")
    )
