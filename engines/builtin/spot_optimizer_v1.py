"""The default engine: the cheapest mix of spot and on-demand that constraints and predicted interruptions allow."""

from pydantic import BaseModel

from engines.builtin.spot_optimizer.config import OPTIMISE, OptimizerConfig
from engines.builtin.spot_optimizer.decision import decide_cluster
from engines.contract import DecisionInput, DecisionOutput


class SpotOptimizerV1:
    """Consolidates, moves to spot over several pools, falls back and rightsizes, by expected cost."""

    name = "spot_optimizer_v1"
    version = "2"
    description = (
        "Chooses the cheapest mix of spot pools and on-demand nodes, interruptions included, within all constraints: "
        "consolidates, moves, rightsizes, falls back, and explains each action and each alternative it rejects."
    )
    Config: type[BaseModel] = OptimizerConfig

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """Decide for every cluster on its own."""
        config = OptimizerConfig.model_validate(given.config)
        return DecisionOutput(
            as_of=given.as_of,
            decisions=tuple(decide_cluster(c, given.pools, given.as_of, config, OPTIMISE) for c in given.clusters),
        )
