"""Small pasts for tests of a replay, each figure stated by the test that it matters to."""

from datetime import UTC, datetime

import numpy as np

from engines.contract import Requirements
from engines.replay.workload import Workload
from engines.replay.world import Place, World

START = datetime(2026, 3, 2, tzinfo=UTC)
ON_DEMAND = 0.1
TWO_NODES = Workload("two", Requirements(vcpu=4, min_nodes=2))


def world(
    prices: list[list[float]],
    *,
    hazard: list[float] | None = None,
    available: list[list[int]] | None = None,
    probability: list[list[float]] | None = None,
    decide_every: int = 1,
) -> World:
    """Hourly ticks of m5.large pools in zones a, b, …: `prices[tick][pool]` in USD per hour."""
    price = np.array(prices, dtype=np.float64)
    pools = price.shape[1]
    rate = np.array(hazard or [0.0] * pools)
    told = np.broadcast_to(-np.expm1(-rate), price.shape) if probability is None else np.array(probability)
    return World(
        name="small",
        start=START,
        tick_hours=1.0,
        decide_every=decide_every,
        places=tuple(
            Place(
                f"us-east-1/us-east-1{z}/m5.large/Linux/UNIX", "us-east-1", f"us-east-1{z}", "m5.large", ON_DEMAND, 2, 8
            )
            for z in "abcdef"[:pools]
        ),
        price=price,
        probability=told.astype(np.float64),
        confidence=np.full(price.shape, 0.5),
        hazard=rate,
        horizon_hours=1.0,
        predicted_by="a test",
        available=None if available is None else np.array(available, dtype=np.bool_),
    )
