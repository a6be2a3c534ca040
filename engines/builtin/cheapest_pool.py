"""The naive rival: whatever pool is cheapest now, all in one, with no thought for interruptions or moving."""

from pydantic import BaseModel

from engines.builtin.spot_optimizer.config import CHEAPEST_POOL, OptimizerConfig
from engines.builtin.spot_optimizer.decision import decide_cluster
from engines.contract import DecisionInput, DecisionOutput

# What it does not think of: interruptions cost nothing, moving costs nothing, one pool may hold everything.
_CARELESS = {
    "interruption_cost_node_hours": 0.0,
    "max_pool_share": 1.0,
    "max_joint_share": 1.0,
    "hold_hours": 1e9,
}


class CheapestPool:
    """Moves each node to the cheapest spot pool that holds it; launches what is missing in one pool."""

    name = "cheapest_pool"
    version = "1"
    description = (
        "The naive rival to compare with: everything in the pool whose price is lowest now, within the user's "
        "constraints; it neither spreads nor weighs interruptions, and moves for any gain."
    )
    Config: type[BaseModel] = OptimizerConfig

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """Decide for every cluster on its own."""
        config = OptimizerConfig.model_validate(given.config).model_copy(update=_CARELESS)
        return DecisionOutput(
            as_of=given.as_of,
            decisions=tuple(decide_cluster(c, given.pools, given.as_of, config, CHEAPEST_POOL) for c in given.clusters),
        )
