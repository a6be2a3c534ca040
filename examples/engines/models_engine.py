"""Models alone: what a node costs in a pool is what registered models expect it to cost, interruptions included."""

import numpy as np
from pydantic import BaseModel, Field

from engines.contract import Cluster, ClusterDecision, DecisionInput, DecisionOutput, Draft, PoolFacts, Reason, Savings

CONTRACT = 1


class ModelsEngine:
    """Ranks pools by expected cost; a pool of which the models say nothing is not considered."""

    name = "models"
    version = "1"
    description = "Moves nodes to the pool with the least expected cost, as the active models predict it."
    # Tasks, which mean whatever is active for them; versions such as "my-model:v3" can be named as well.
    models = ("spot_interruption", "spot_price")

    class Config(BaseModel):
        """What an interruption costs, and how wide the models err."""

        interruption_node_hours: float = Field(
            default=0.5, ge=0, description="What one interruption costs (hours of the node on demand)"
        )
        price_error: float = Field(
            default=0.05, ge=0, lt=1, description="90th percentile of the price model's relative error (0..1)"
        )
        least_saving: float = Field(default=0.05, ge=0, lt=1, description="Least saving, as a share of the cost (0..1)")

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """One decision for each cluster, each on its own."""
        config = self.Config.model_validate(given.config)
        decisions = tuple(_decide(given, cluster, config) for cluster in given.clusters)
        return DecisionOutput(as_of=given.as_of, decisions=decisions)


def _decide(given: DecisionInput, cluster: Cluster, config: ModelsEngine.Config) -> ClusterDecision:
    draft = Draft(given, cluster)
    pools = list(draft.pools.values())
    costs = expected_costs(pools, config)
    ranked = [(pools[i], float(costs[i])) for i in np.argsort(costs, kind="stable") if np.isfinite(costs[i])]
    for node in draft.free():
        now, home = draft.price(node), draft.pool_of(node)
        if now is None:
            draft.reject(node, None, "cost", "nobody knows what the node costs now")
            continue
        if node.capacity_type == "spot" and home is not None and np.isfinite(known := expected_cost(home, config)):
            now = max(now, known)
        for pool, cost in ranked:
            saved = now - cost
            if saved <= config.least_saving * now:
                draft.reject(node, None, "cost", "no other pool is expected to cost less by enough")
                break
            error = config.price_error * cost
            saves = Savings(p10=saved - error, p50=saved, p90=saved + error)
            numbers = {"cost_now_usd_per_hour": now, "expected_cost_usd_per_hour": cost}
            reason = Reason(code="expected_cheaper", text=f"{pool.pool_id} is expected to cost less.", numbers=numbers)
            if draft.move(node, pool, "spot", saves, reason) is None:
                break
        else:
            draft.reject(node, None, "prediction", "the models know no pool that would take it")
    for pool, _ in ranked:
        if (count := draft.nodes_missing(pool)) and draft.launch(pool, "spot", count) is None:
            break
    return draft.decision()


def expected_costs(pools: list[PoolFacts], config: ModelsEngine.Config) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Expected cost of a node in each pool (USD per hour); infinite where the models say nothing."""
    return np.array([expected_cost(pool, config) for pool in pools], dtype=np.float64)


def expected_cost(pool: PoolFacts, config: ModelsEngine.Config) -> float:
    """Expected price plus the hourly rate of interruptions, -ln(1 - p) / horizon, times what one costs."""
    probability = pool.predictions.get("spot_interruption", pool.interruption_probability)
    if probability is None or pool.on_demand_price is None:
        return float("inf")
    rate = -np.log1p(-min(max(probability, 0.0), 1 - 1e-6)) / pool.horizon_hours
    price = max(pool.predictions.get("spot_price", pool.predicted_price or pool.price), 0.0)
    return float(price + rate * config.interruption_node_hours * pool.on_demand_price)
