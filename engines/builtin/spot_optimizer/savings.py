"""What a change saves per hour, as a median with a 10th and a 90th percentile.

A spot price is log-normal around today's, with the deviation of its last 24 hours (feature price_std_24h over the
price, at most 1), or `price_sigma` where that is missing. An interruption rate is log-normal around the predicted one,
with deviation `hazard_sigma` times (1 - confidence). A bound takes price and rate at their own bound together, so the
interval is no narrower than 10 % to 90 %. What runs now keeps its median cost when it is replaced; on-demand prices are
certain. Sums add bounds, as if everything went well, or badly, at once.
"""

import math
from collections.abc import Iterable

from engines.actions import Savings
from engines.builtin.spot_optimizer.config import OptimizerConfig
from engines.builtin.spot_optimizer.nodes import NodeState
from engines.builtin.spot_optimizer.offers import Offer

# The 90th percentile of the standard normal distribution.
_Z90 = 1.2815515655446004
NOTHING = Savings(p10=0.0, p50=0.0, p90=0.0)


def replacing(state: NodeState, offer: Offer, count: int, config: OptimizerConfig) -> Savings:
    """Return what `count` nodes like `state` save when each is replaced by `offer`."""
    low, high = cost_bounds(offer, config)
    return _savings(state.cost - high, state.cost - offer.expected_cost, state.cost - low, count)


def launching(offer: Offer, count: int, config: OptimizerConfig) -> Savings:
    """Return what `count` launches save against the same type on demand; nothing where that price is unknown."""
    if offer.capacity_type == "on_demand" or offer.pool.on_demand_price is None:
        return NOTHING
    low, high = cost_bounds(offer, config)
    instead = offer.pool.on_demand_price
    return _savings(instead - high, instead - offer.expected_cost, instead - low, count)


def ending(states: Iterable[NodeState], config: OptimizerConfig) -> Savings:
    """Return what is saved by ending these nodes."""
    parts = []
    for state in states:
        if state.offer is None or state.price is None:
            parts.append(_savings(state.cost, state.cost, state.cost, 1))
        else:
            low, high = cost_bounds(state.offer, config)
            shift = state.cost - state.offer.expected_cost
            parts.append(_savings(max(0.0, low + shift), state.cost, high + shift, 1))
    return total(parts)


def total(parts: Iterable[Savings]) -> Savings:
    """Return the sum, bound by bound."""
    listed = list(parts)
    return Savings(
        p10=math.fsum(s.p10 for s in listed), p50=math.fsum(s.p50 for s in listed), p90=math.fsum(s.p90 for s in listed)
    )


def cost_bounds(offer: Offer, config: OptimizerConfig) -> tuple[float, float]:
    """Return the 10th and 90th percentile of an offer's expected cost (USD per hour)."""
    if offer.capacity_type == "on_demand":
        return offer.price, offer.price
    deviation = offer.pool.features.get("price_std_24h")
    price = config.price_sigma if deviation is None else min(1.0, abs(deviation) / offer.price)
    hazard = config.hazard_sigma * (1 - (offer.pool.confidence or 0.0))
    risk = offer.hazard * offer.interruption_usd
    return (
        offer.price * math.exp(-_Z90 * price) + risk * math.exp(-_Z90 * hazard),
        offer.price * math.exp(_Z90 * price) + risk * math.exp(_Z90 * hazard),
    )


def _savings(p10: float, p50: float, p90: float, count: int) -> Savings:
    return Savings(p10=p10 * count, p50=p50 * count, p90=p90 * count)
