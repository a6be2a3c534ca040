"""Feature blocks made of recent prices: by the loop at each tick, and from the history where the loop is away."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl

from gapfill.features import compute
from gapfill.features.registry import NAMES
from gapfill.frames import ASKS
from services.live.board import FeatureBlock, TypeFacts
from services.live.recent import Recent


def make_block(
    recent: Recent, *, seq: int, as_of: datetime, market_id: str, known_at: Mapping[str, datetime]
) -> FeatureBlock | None:
    """The rows of every pool in `recent` at `as_of`; None while there is no price.

    `known_at` is when the market last told a pool's price, by pool_id.
    """
    pools = recent.points["pool_id"].unique().sort()
    if pools.is_empty():
        return None
    asks = pl.DataFrame({"pool_id": pools, "as_of": as_of, "launched_at": None}, schema=ASKS)
    rows = compute(recent.points, asks, recent.on_demand, recent.instance_types)
    told = [at.timestamp() if (at := known_at.get(pool_id)) else np.nan for pool_id in rows["pool_id"]]
    types = {
        row["instance_type"]: TypeFacts(row["architecture"], row["gpus"])
        for row in recent.instance_types.iter_rows(named=True)
    }
    return FeatureBlock.from_frame(
        rows, NAMES, seq=seq, as_of=as_of, market_id=market_id, known_at=np.array(told, np.float64), types=types
    )
