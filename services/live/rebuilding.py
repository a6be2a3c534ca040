"""The block that a process shows from its start until it hears from the live loop: of the history, as old as that."""

from collections.abc import Sequence
from datetime import datetime

from gapfill.history import History
from gapfill.pools import Pool
from gapfill.pulled import PulledBook
from services.live.blocks import make_block
from services.live.board import FeatureBlock
from services.live.recent import Recent
from services.live.tracking import RegionScope

BEFORE_THE_FIRST = 0  # the loop's own blocks begin at 1


def rebuilt_block(
    history: History, pulled: PulledBook, scopes: Sequence[RegionScope], now: datetime, market_id: str
) -> FeatureBlock | None:
    """The tracked pools at the newest instant up to which the market has told any of their prices.

    None where the history has none of them, or nothing is known of when the market was asked.
    """
    recent = Recent(history)
    recent.refresh(scopes, now)
    until = {scope.region: pulled.known_until(scope.region) for scope in scopes}
    known_at: dict[str, datetime] = {}
    for pool_id in recent.points["pool_id"].unique():
        pool = Pool.parse(pool_id)
        if at := until.get(pool.region, {}).get((pool.instance_type, pool.product)):
            known_at[pool_id] = min(at, now)
    if not known_at:
        return None
    return make_block(
        recent, seq=BEFORE_THE_FIRST, as_of=max(known_at.values()), market_id=market_id, known_at=known_at
    )
