"""Rules and models: rules say which pools may be used at all, a model says which of them, and doubt costs extra."""

import math
from bisect import bisect_left
from statistics import fmean

from pydantic import BaseModel, Field

from engines.contract import (
    CapacityType,
    Cluster,
    ClusterDecision,
    DecisionInput,
    DecisionOutput,
    Draft,
    Node,
    PoolFacts,
    Reason,
    Savings,
)

CONTRACT = 1
Choice = tuple[float, PoolFacts, CapacityType]


class HybridEngine:
    """Spreads moves over the best pools instead of filling one."""

    name = "hybrid"
    version = "1"
    description = "Rules admit pools, the interruption model ranks them, doubt counts as cost; moves are spread."
    models = ("spot_interruption",)

    class Config(BaseModel):
        """The rules' limits and the price of doubt."""

        risk_limit: float = Field(
            default=0.25, ge=0, le=1, description="Pools above this interruption probability are never used (0..1)"
        )
        doubt_usd_share: float = Field(
            default=0.2, ge=0, le=1, description="Share of the on-demand price added at confidence 0, none at 1 (0..1)"
        )
        interruption_node_hours: float = Field(
            default=0.5, ge=0, description="What one interruption costs (hours of the node on demand)"
        )
        spread_over: int = Field(default=3, ge=1, description="Best pools that moves take turns in (count)")
        most_tries: int = Field(default=40, ge=1, description="Best alternatives that are tried for a node (count)")

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """One decision for each cluster, each on its own."""
        config = self.Config.model_validate(given.config)
        decisions = tuple(_decide(given, cluster, config) for cluster in given.clusters)
        return DecisionOutput(as_of=given.as_of, decisions=decisions)


def _decide(given: DecisionInput, cluster: Cluster, config: HybridEngine.Config) -> ClusterDecision:
    draft = Draft(given, cluster)
    choices = sorted(_choices(draft, config), key=lambda choice: (choice[0], choice[1].pool_id, choice[2]))
    moved = 0
    for node in draft.free():
        moved += _move(draft, node, choices, moved, config)
    for _, pool, capacity_type in choices:
        if (count := draft.nodes_missing(pool)) and draft.launch(pool, capacity_type, count) is None:
            break
    return draft.decision()


def _choices(draft: Draft, config: HybridEngine.Config) -> list[Choice]:
    """(expected cost in USD per hour, pool, how bought) of what the rules admit."""
    found: list[Choice] = []
    for pool in draft.pools.values():
        on_demand = pool.on_demand_price
        if on_demand is None:
            continue
        found.append((on_demand, pool, "on_demand"))
        risk = pool.predictions.get("spot_interruption", pool.interruption_probability)
        if risk is not None and risk <= config.risk_limit and pool.price < on_demand:
            rate = -math.log1p(-min(max(risk, 0.0), 1 - 1e-6)) / pool.horizon_hours
            doubt = config.doubt_usd_share * on_demand * (1 - (pool.confidence or 0.0))
            found.append((pool.price + rate * config.interruption_node_hours * on_demand + doubt, pool, "spot"))
    return found


def _move(draft: Draft, node: Node, choices: list[Choice], moved: int, config: HybridEngine.Config) -> bool:
    now = draft.price(node)
    if now is None:
        draft.reject(node, None, "cost", "nobody knows what the node costs now")
        return False
    better = choices[: bisect_left(choices, now, key=lambda choice: choice[0])]
    turn = moved % config.spread_over
    head = better[: config.spread_over]
    for cost, pool, capacity_type in (*head[turn:], *head[:turn], *better[config.spread_over : config.most_tries]):
        saved = now - cost
        sure = now - max(cost, pool.price if capacity_type == "spot" else cost)
        numbers = {"cost_now_usd_per_hour": now, "expected_cost_usd_per_hour": cost, "mean_usd": fmean((now, cost))}
        reason = Reason(code="worth_it", text=f"{pool.pool_id} is cheaper, doubt included.", numbers=numbers)
        saves = Savings(p10=min(saved, sure), p50=saved, p90=max(saved, now - pool.price))
        if draft.move(node, pool, capacity_type, saves, reason) is None:
            return True
    draft.reject(node, None, "cost", "nothing that the rules admit is cheaper, doubt included")
    return False
