"""The file that `cloudoptim engine new` writes: an engine that passes every check, for its author to go on from."""

import re
from string import Template

_TEXT = Template('''"""$title: moves a node to the cheapest spot pool that is allowed, where that saves enough."""

from pydantic import BaseModel, Field

from engines.contract import Cluster, ClusterDecision, DecisionInput, DecisionOutput, Draft, Reason, Savings

CONTRACT = 1


class $class_name:
    """Knows nothing but its input; the same input gives the same answer."""

    name = "$name"
    version = "1"
    description = "Moves nodes to the cheapest allowed spot pool of their size, where that saves enough."

    class Config(BaseModel):
        """What an operator may set; every field has a default and a description."""

        least_saving_percent: float = Field(
            default=10, ge=0, le=100, description="Least that a move must save of the node's cost (percent)"
        )

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """One decision for each cluster, each on its own."""
        config = self.Config.model_validate(given.config)
        decisions = tuple(self._decide(given, cluster, config) for cluster in given.clusters)
        return DecisionOutput(as_of=given.as_of, decisions=decisions)

    def _decide(self, given: DecisionInput, cluster: Cluster, config: "Config") -> ClusterDecision:
        # A draft keeps to the cluster's constraints, holds what is not moved, and writes reasons and plan.
        draft = Draft(given, cluster)
        pools = sorted(draft.pools.values(), key=lambda pool: (pool.price, pool.pool_id))
        for node in draft.free():
            cost = draft.price(node)
            if cost is None:
                draft.reject(node, None, "cost", "nobody knows what the node costs now")
                continue
            for pool in pools:
                saved = cost - pool.price
                if saved <= cost * config.least_saving_percent / 100:
                    draft.reject(node, None, "cost", "no other allowed pool is cheap enough")
                    break
                numbers = {"cost_now_usd_per_hour": cost, "price_then_usd_per_hour": pool.price}
                reason = Reason(code="cheaper", text=f"{pool.pool_id} is cheaper.", numbers=numbers)
                if draft.move(node, pool, "spot", Savings(p10=saved, p50=saved, p90=saved), reason) is None:
                    break
        for pool in pools:
            if (count := draft.nodes_missing(pool)) and draft.launch(pool, "spot", count) is None:
                break
        return draft.decision()
''')
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def starting_file(name: str) -> str:
    """Return the text for an engine `name`; raises ValueError when that is no name."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: a-z, 0-9, dot, dash and underscore, at most 63, a letter or digit first"
        )
    words = [word for word in re.split(r"[._-]", name) if word]
    class_name = "".join(word.capitalize() for word in words)
    return _TEXT.substitute(
        name=name,
        title=" ".join(words).capitalize(),
        class_name=class_name if class_name[0].isalpha() else f"Engine{class_name}",
    )
