"""The baseline engine: everything on demand, on the cheapest type that fits."""

from pydantic import BaseModel

from engines.builtin.spot_optimizer.config import ON_DEMAND_ONLY, OptimizerConfig
from engines.builtin.spot_optimizer.decision import decide_cluster
from engines.contract import DecisionInput, DecisionOutput


class OnDemandOnly:
    """Falls back from spot, rightsizes where utilisation is known, and buys no spot capacity."""

    name = "on_demand_only"
    version = "2"
    description = "The baseline to compare with: no spot capacity, the cheapest on-demand type that fits each node."
    Config: type[BaseModel] = OptimizerConfig

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """Decide for every cluster on its own."""
        config = OptimizerConfig.model_validate(given.config)
        return DecisionOutput(
            as_of=given.as_of,
            decisions=tuple(
                decide_cluster(c, given.pools, given.as_of, config, ON_DEMAND_ONLY) for c in given.clusters
            ),
        )
