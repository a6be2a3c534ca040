"""How much a fill does at a time, how far back, and what it fills when nobody says."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class FillLimits:
    """How much at a time, and the defaults of a request (`GAP_FILLER_*`)."""

    default_regions: tuple[str, ...] = ()
    default_instance_types: tuple[str, ...] = ()
    historic_days_max: int = 90
    types_per_shard: int = 50
    days_per_shard: int = 7
    threads_per_region: int = 3
    attempts_per_shard: int = 3
    pools_per_chunk: int = 100
    compact_every_shards: int = 1000

    @property
    def span(self) -> timedelta:
        """The length of a shard's window."""
        return timedelta(days=self.days_per_shard)
