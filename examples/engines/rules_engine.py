"""Rules alone: leave a pool that has become risky, move where spot is cheap and calm, at most so many at a time."""

from pydantic import BaseModel, Field

from engines.contract import (
    NOTHING,
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


class RulesEngine:
    """Three rules, in this order: flee, move, launch what is missing."""

    name = "rules"
    version = "1"
    description = "Leaves pools over a risk limit, moves to spot below a price ratio, at most some nodes at a time."

    class Config(BaseModel):
        """The limits of the rules."""

        flee_above: float = Field(
            default=0.3, ge=0, le=1, description="Leave a spot pool whose interruption probability is above this (0..1)"
        )
        move_below: float = Field(
            default=0.1, ge=0, le=1, description="Move only to pools with an interruption probability up to this (0..1)"
        )
        price_ratio: float = Field(
            default=0.8, gt=0, le=1, description="Move only to pools whose price over on-demand is up to this (ratio)"
        )
        most_moves: int = Field(default=20, ge=1, description="Nodes moved by one decision (count)")

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """One decision for each cluster, each on its own."""
        config = self.Config.model_validate(given.config)
        decisions = tuple(_decide(given, cluster, config) for cluster in given.clusters)
        return DecisionOutput(as_of=given.as_of, decisions=decisions)


def _decide(given: DecisionInput, cluster: Cluster, config: RulesEngine.Config) -> ClusterDecision:
    draft = Draft(given, cluster)
    pools = sorted(draft.pools.values(), key=lambda pool: (pool.price, pool.pool_id))
    calm = [pool for pool in pools if _is_calm(pool, config)]
    moves = 0
    for node in draft.free():
        if moves == config.most_moves:
            draft.reject(node, None, "most_moves", "as many nodes as the config allows are moved already")
        elif _must_flee(draft, node, config):
            moves += _flee(draft, node, pools)
        else:
            moves += _move(draft, node, calm)
    for pool in (*calm, *pools):
        kind: CapacityType = "spot" if pool in calm else "on_demand"
        if (count := draft.nodes_missing(pool)) and draft.launch(pool, kind, count) is None:
            break
    return draft.decision()


def _is_calm(pool: PoolFacts, config: RulesEngine.Config) -> bool:
    cheap = pool.on_demand_price is not None and pool.price <= config.price_ratio * pool.on_demand_price
    return cheap and pool.interruption_probability is not None and pool.interruption_probability <= config.move_below


def _must_flee(draft: Draft, node: Node, config: RulesEngine.Config) -> bool:
    if node.capacity_type != "spot":
        return False
    pool = draft.pool_of(node)
    risk = pool.interruption_probability if pool else None
    return node.interruption_notice_at is not None or (risk is not None and risk > config.flee_above)


def _flee(draft: Draft, node: Node, pools: list[PoolFacts]) -> bool:
    """To the cheapest on-demand type that takes the node, whatever it costs."""
    now = draft.price(node)
    for pool in sorted(pools, key=lambda pool: (pool.on_demand_price or 0.0, pool.pool_id)):
        then = pool.on_demand_price
        saved = (now or 0.0) - (then or 0.0)
        numbers = {"on_demand_usd_per_hour": then or 0.0, "saved_usd_per_hour": saved}
        # "required": it need not save anything.
        reason = Reason(code="required", text="The node's pool is too likely to take it back.", numbers=numbers)
        if draft.move(node, pool, "on_demand", Savings(p10=saved, p50=saved, p90=saved), reason) is None:
            return True
    return False


def _move(draft: Draft, node: Node, calm: list[PoolFacts]) -> bool:
    now = draft.price(node)
    if now is None:
        draft.reject(node, None, "cost", "nobody knows what the node costs now")
        return False
    for pool in calm:
        saved = now - pool.price
        if saved <= 0:
            break
        numbers = {"cost_now_usd_per_hour": now, "price_then_usd_per_hour": pool.price}
        reason = Reason(code="calm_and_cheap", text=f"{pool.pool_id} is cheap and calm.", numbers=numbers)
        if draft.move(node, pool, "spot", Savings(p10=NOTHING.p10, p50=saved, p90=saved), reason) is None:
            return True
    draft.reject(node, None, "cost", "no other pool that is cheap and calm costs less")
    return False
