"""The Spot Instance Advisor's feed: how often a type is interrupted in a region, and what it saves there."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engines.replay.errors import AdvisorInvalid

HOURS_A_MONTH = 730.5
# Lower and upper end of each bucket (share of instances interrupted in a month), as the feed's `ranges` end them.
BUCKETS = ((0.0, 0.05), (0.05, 0.10), (0.10, 0.15), (0.15, 0.20), (0.20, 1.0))
# Spot's product descriptions → the systems that the feed knows; it counts every Linux as one.
SYSTEMS = {"Linux/UNIX": "Linux", "Red Hat Enterprise Linux": "Linux", "SUSE Linux": "Linux", "Windows": "Windows"}


@dataclass(frozen=True, slots=True)
class Advice:
    """One (region, system, type): `hazard` in interruptions per hour, `saving` as a share of on demand (0..1)."""

    bucket: int
    hazard: float
    saving: float


def hazard_of_bucket(bucket: int) -> float:
    """Return the constant rate (per hour) whose monthly probability is the bucket's midpoint."""
    low, high = BUCKETS[bucket]
    return -math.log1p(-(low + high) / 2) / HOURS_A_MONTH


class Advisor:
    """Advice by region, product and type."""

    def __init__(self, advice: Mapping[tuple[str, str, str], Advice]) -> None:
        self._advice = dict(advice)

    def get(self, region: str, product: str, instance_type: str) -> Advice | None:
        """Return the advice, or None where the feed has none."""
        return self._advice.get((region, SYSTEMS.get(product, product), instance_type))

    @classmethod
    def read(cls, text: str | bytes) -> "Advisor":
        """Read the feed's JSON; raises AdvisorInvalid."""
        try:
            regions: Mapping[str, Any] = json.loads(text)["spot_advisor"]
            return cls(
                {
                    (region, system, name): Advice(
                        bucket=(bucket := int(entry["r"])),
                        hazard=hazard_of_bucket(bucket),
                        saving=float(entry["s"]) / 100,
                    )
                    for region, systems in regions.items()
                    for system, types in systems.items()
                    for name, entry in types.items()
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise AdvisorInvalid(f"it is no advisor feed: {type(error).__name__} {error}") from error
