"""What a node could come to cost once all that is allowed has been done for it, for any load it may have by then."""

import numpy as np

from engines.builtin.spot_optimizer.nodes import TOLERANCE, Load, NodeState, refusals
from engines.builtin.spot_optimizer.offers import Floats, Offers
from engines.facts import Cluster


class Prospects:
    """Least costs of nodes of one cluster over its offers, each node looked at alone."""

    def __init__(self, cluster: Cluster, offers: Offers) -> None:
        self._cluster = cluster
        self._offers = offers
        sizes = np.stack([offers.vcpu, offers.memory, offers.gpus])
        self._sizes, self._size_of = np.unique(sizes, axis=1, return_inverse=True)
        self._cheapest: dict[tuple[object, ...], Floats] = {}

    def least_cost(self, state: NodeState, load: Load) -> float:
        """Return the least expected cost (USD per hour) of staying or of any offer that holds `load`."""
        if state.pin is not None:
            return state.cost
        vcpu, memory, gpus = self._sizes
        fits = (vcpu >= load.vcpu - TOLERANCE) & (memory >= load.memory - TOLERANCE) & (gpus >= load.gpus)
        return min(state.cost, float(self._cheapest_for(state)[fits].min(initial=np.inf)))

    def _cheapest_for(self, state: NodeState) -> Floats:
        """Return, per size, the least cost of an offer that may replace the node if it is large enough."""
        node = state.node
        key = (*state.place, node.capacity_type, node.architecture, node.capacity, state.use_known, state.load.gpus)
        if key not in self._cheapest:
            allowed = refusals(self._cluster, state, Load(0.0, 0.0, state.load.gpus), self._offers) < 0
            cheapest = np.full(self._sizes.shape[1], np.inf)
            np.minimum.at(cheapest, self._size_of[allowed], self._offers.cost[allowed])
            self._cheapest[key] = cheapest
        return self._cheapest[key]
