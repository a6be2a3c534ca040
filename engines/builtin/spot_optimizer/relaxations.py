"""What could change so that a pool is chosen: its price, its probability, or what the user and the config ask for."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.builtin.spot_optimizer.offers import limit_hours, offer_of, offers_for
from engines.facts import Cluster, Name, PoolFacts, Strict

_LEAST_PRICE = 1e-6
# Beyond what any user means, yet finite.
_MUCH = 1e6


class Change(Strict):
    """One value that would have to be another."""

    field: Name = Field(
        description="pool.price, pool.interruption_probability, constraints.…, requirements.… or config.…"
    )
    now: Any = Field(description="What it is now")
    needed: Any = Field(description="What it would have to be, at most where it must fall, at least where it must rise")
    unit: str = Field(default="", description="Unit of both")
    text: str = Field(min_length=1, description="One sentence for a person")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is decided about; `pool` is the one in question, as it is in `pools`."""

    cluster: Cluster
    pools: tuple[PoolFacts, ...]
    config: OptimizerConfig
    pool: PoolFacts

    def with_pool(self, **values: Any) -> "Asked":
        """Return the same with other facts of the pool in question."""
        changed = self.pool.model_copy(update=values)
        pools = tuple(changed if p.pool_id == changed.pool_id else p for p in self.pools)
        return replace(self, pools=pools, pool=changed)

    def with_field(self, part: str, name: str, value: Any) -> "Asked":
        """Return the same with another value of a field of `constraints`, `requirements` or `config`."""
        if part == "config":
            return replace(self, config=self.config.model_copy(update={name: value}))
        inner = getattr(self.cluster, part).model_copy(update={name: value})
        return replace(self, cluster=self.cluster.model_copy(update={part: inner}))


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One thing that can give, from `now` to `most`; `gradual` when there is something in between."""

    field: str
    now: Any
    most: Any
    unit: str
    put: Callable[[Asked, Any], Asked]
    gradual: bool = True
    whole: bool = False
    words: str = ""

    def apply(self, asked: Asked, value: Any) -> Asked:
        """Return what is asked with this value."""
        return self.put(asked, value)

    def between(self, fails: Any, holds: Any) -> Any:
        """Return a value halfway; for whole numbers `holds` when there is none between."""
        if not self.whole:
            return (fails + holds) / 2
        middle = (fails + holds) / 2
        return math.floor(middle) if holds < fails else math.ceil(middle)

    def change(self, value: Any) -> Change:
        """Return the change to this value."""
        if not self.words and isinstance(value, int | float) and not isinstance(value, bool):
            relation = "at most" if value < self.now else "at least"
            text = (
                f"{self.field} would have to be {relation} {value:g} {self.unit}".rstrip()
                + f" instead of {self.now:g}."
            )
        else:
            text = self.words or f"{self.field} would have to be {value} instead of {self.now}."
        return Change(field=self.field, now=self.now, needed=value, unit=self.unit, text=text)


def barred_by(asked: Asked, policy: Policy) -> str | None:
    """Return the constraint that bars the pool's spot offer for the whole cluster; None when nothing does."""
    offers = offers_for(asked.cluster, (asked.pool,), asked.config, policy)
    bar = offers.bars[0] if offers.bars else None
    if bar is None and _abroad(asked):
        return "cross_region_allowed"
    return bar.constraint if bar else None


def _abroad(asked: Asked) -> bool:
    regions = {node.region for node in asked.cluster.nodes}
    return bool(regions) and asked.pool.region not in regions and not asked.cluster.constraints.cross_region_allowed


def of_bar(asked: Asked, constraint: str) -> Relaxation | None:
    """Return the least that opens the pool past this bar; None where nothing does (a policy)."""
    pool, limits = asked.pool, asked.cluster.constraints
    lists = {
        "allowed_regions": pool.region,
        "allowed_availability_zones": pool.availability_zone,
        "allowed_families": pool.instance_type.split(".")[0],
        "allowed_architectures": pool.architecture,
        "allowed_gpu_models": pool.gpu_model or "unknown",
    }
    if constraint in lists:
        now = getattr(limits, constraint)
        words = f"constraints.{constraint} would have to include {lists[constraint]}."
        return _set("constraints", constraint, list(now), [*now, lists[constraint]], words=words)
    if constraint == "cross_region_allowed":
        return _set("constraints", constraint, False, True)
    if constraint == "architecture":
        return _set("requirements", constraint, asked.cluster.requirements.architecture, pool.architecture)
    if constraint in ("min_node_vcpu", "min_node_memory_gib"):
        most = pool.vcpu if constraint == "min_node_vcpu" else pool.memory_gib
        return _set("requirements", constraint, getattr(asked.cluster.requirements, constraint), most)
    if constraint == "max_interruption_probability":
        offer = offer_of(pool, "spot", asked.config)
        within = offer.probability_within(limit_hours(asked.cluster, offer)) or 0.0
        return _set("constraints", constraint, limits.max_interruption_probability, within)
    if constraint == "prediction":
        words = "Somebody would have to predict its interruptions: with none expected it is open."
        return Relaxation(
            "pool.interruption_probability", None, 0.0, "0..1", _put_probability, gradual=False, words=words
        )
    return None


def _set(part: str, name: str, now: Any, most: Any, words: str = "") -> Relaxation:
    def put(asked: Asked, value: Any) -> Asked:
        return asked.with_field(part, name, tuple(value) if isinstance(value, list) else value)

    return Relaxation(f"{part}.{name}", now, most, "", put, gradual=False, words=words)


def _put_probability(asked: Asked, value: Any) -> Asked:
    return asked.with_pool(interruption_probability=value)


def _put_price(asked: Asked, value: Any) -> Asked:
    return asked.with_pool(price=value)


def open_to(asked: Asked) -> Iterator[Relaxation]:
    """Yield what can give by degrees, and what is in force and could be given up."""
    pool = asked.pool
    yield Relaxation("pool.price", pool.price, _LEAST_PRICE, "USD per hour", _put_price)
    if pool.interruption_probability:
        probability = pool.interruption_probability
        unit = f"within {pool.horizon_hours:g} h"
        yield Relaxation("pool.interruption_probability", probability, 0.0, unit, _put_probability)
    yield from _of_constraints(asked)
    yield from _of_requirements(asked)
    config = asked.config
    for name, unit in (("max_pool_share", "0..1"), ("max_joint_share", "0..1")):
        if (now := getattr(config, name)) < 1:
            yield _by_degrees("config", name, now, 1.0, unit)
    if asked.cluster.nodes:
        yield _by_degrees("config", "hold_hours", config.hold_hours, _MUCH, "hours")


def _of_constraints(asked: Asked) -> Iterator[Relaxation]:
    limits = asked.cluster.constraints
    if limits.min_on_demand_share:
        yield _by_degrees("constraints", "min_on_demand_share", limits.min_on_demand_share, 0.0, "0..1")
    for name, unit in (("min_savings_percent", "percent"), ("min_savings_usd_per_hour", "USD per hour")):
        if now := getattr(limits, name):
            yield _by_degrees("constraints", name, now, 0.0, unit)
    if limits.budget_usd_per_hour is not None:
        yield _by_degrees(
            "constraints", "budget_usd_per_hour", limits.budget_usd_per_hour, _budget(asked), "USD per hour"
        )
    if limits.min_pools > 1:
        yield _by_degrees("constraints", "min_pools", limits.min_pools, 1, "count", whole=True)
    elif len(asked.pools) > 1:
        yield _by_degrees("constraints", "min_pools", 1, len(asked.pools), "count", whole=True)
    if limits.deadline is not None:
        words = "constraints.deadline would have to be left out."
        yield _set("constraints", "deadline", limits.deadline, None, words=words)


def _of_requirements(asked: Asked) -> Iterator[Relaxation]:
    needs = asked.cluster.requirements
    if needs.max_nodes is not None:
        yield _by_degrees("requirements", "max_nodes", needs.max_nodes, needs.max_nodes + 1_000, "count", whole=True)


def _budget(asked: Asked) -> float:
    """Return a budget that binds nobody: everything that runs or is asked for, at the dearest price there is."""
    needs = asked.cluster.requirements
    dearest = max((p.on_demand_price or p.price for p in asked.pools), default=1.0)
    nodes = len(asked.cluster.nodes) + needs.min_nodes + needs.vcpu + needs.memory_gib + needs.gpus
    return (asked.cluster.constraints.budget_usd_per_hour or 0.0) + dearest * (1 + nodes)


def _by_degrees(part: str, name: str, now: Any, most: Any, unit: str, *, whole: bool = False) -> Relaxation:
    def put(asked: Asked, value: Any) -> Asked:
        return asked.with_field(part, name, value)

    return Relaxation(f"{part}.{name}", now, most, unit, put, whole=whole)
