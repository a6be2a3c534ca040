"""The sample clusters are valid, and the built-in engine finds in them all that they are there to show."""

from datetime import UTC, datetime

from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Cluster, DecisionInput, PoolFacts
from examples.clusters import sample_clusters

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TYPES = {"m5.large": (2, 8, 0.096), "m5.xlarge": (4, 16, 0.192), "c5.large": (2, 4, 0.085)}
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-west-2a", "us-west-2b", "us-west-2c", "eu-west-1a")


def _pool(zone: str, name: str, share: float) -> PoolFacts:
    vcpu, memory, on_demand = TYPES[name]
    return PoolFacts(
        pool_id=f"{zone[:-1]}/{zone}/{name}/Linux/UNIX",
        region=zone[:-1],
        availability_zone=zone,
        instance_type=name,
        price=round(on_demand * share, 4),
        on_demand_price=on_demand,
        vcpu=vcpu,
        memory_gib=memory,
        interruption_probability=0.06,
        horizon_hours=24,
        confidence=0.8,
        data_as_of=NOW,
    )


def _types_of(share: float) -> dict[str, set[str]]:
    """The types of action for each cluster where spot costs a share of on-demand."""
    pools = tuple(_pool(zone, name, share + 0.01 * n) for n, zone in enumerate(ZONES) for name in TYPES)
    clusters = tuple(Cluster.model_validate(body) for body in sample_clusters(NOW).values())
    given = DecisionInput(as_of=NOW, market_id="sim:7", clusters=clusters, pools=pools)
    decided = SpotOptimizerV1().decide(given).decisions
    return {one.cluster_id: {action.type for action in one.recommendations} for one in decided}


def test_their_bodies_name_themselves_and_are_valid() -> None:
    for cluster_id, body in sample_clusters(NOW).items():
        assert Cluster.model_validate(body).cluster_id == cluster_id


def test_the_engine_moves_consolidates_and_rightsizes_over_all_usual_price_levels() -> None:
    for share in (0.25, 0.4, 0.6):
        found = _types_of(share)
        assert {"move_to_spot", "rightsize"} <= found["shop-frontend"], share
        assert "consolidate" in found["nightly-reports"], share
