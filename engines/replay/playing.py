"""One engine over one past: asked at each instant with what was known then, carried out, billed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from engines.contract import Cluster, DecisionInput, DecisionOutput, PoolFacts
from engines.replay.fleet import Bill, Fleet
from engines.replay.workload import Workload
from engines.replay.world import Bools, Place, World
from engines.violations import violations

Decide = Callable[[DecisionInput], DecisionOutput]
# A pool that ended or refused a node is not bought on spot for so long.
BAN_HOURS = 1.0


class Stopped(Exception):
    """Somebody asked for the replay to end."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Contender:
    """One engine in a replay: how it is asked, and the config it is asked with."""

    engine_id: str
    decide: Decide
    config: dict[str, Any] = field(default_factory=dict)


def play(
    world: World,
    workload: Workload,
    contender: Contender,
    interruption_node_hours: float,
    *,
    stop: Callable[[], bool] = _never,
) -> Bill:
    """Replay one workload under one engine; raises whatever the engine's `decide` raises, Stopped when `stop()`."""
    fleet = Fleet(world, workload, interruption_node_hours)
    ban = max(1, round(BAN_HOURS / world.tick_hours))
    banned_until = np.zeros(len(world.places), dtype=np.int64)
    nowhere: Bools = np.zeros(len(world.places), dtype=np.bool_)
    for tick in range(world.ticks):
        gone = nowhere if world.available is None else ~world.available[tick]
        ended = fleet.interrupt(gone) if world.available is not None else frozenset()
        for pool in ended:
            banned_until[pool] = tick + ban
        if ended or tick % world.decide_every == 0:
            if stop():
                raise Stopped
            asked = _question(world, fleet, contender, tick, banned_until > tick)
            for pool in _decided(fleet, contender, asked, tick, gone):
                banned_until[pool] = tick + ban
        fleet.pass_time(tick)
    return fleet.bill


def _question(world: World, fleet: Fleet, contender: Contender, tick: int, banned: Bools) -> DecisionInput:
    as_of = world.at(tick)
    cluster: Cluster = fleet.cluster()
    return DecisionInput(
        as_of=as_of,
        market_id=world.market_id,
        clusters=(cluster,),
        pools=facts_at(world, tick, banned),
        config=contender.config,
    )


def _decided(fleet: Fleet, contender: Contender, asked: DecisionInput, tick: int, gone: Bools) -> list[int]:
    """Ask, judge and carry out; return the pools that refused a launch."""
    decision = contender.decide(asked).decisions[0]
    fleet.bill.decisions += 1
    fleet.bill.violations += len(violations(asked, decision))
    before = fleet.bill.refused
    fleet.carry_out(decision, tick, gone)
    if fleet.bill.refused == before:
        return []
    return [node.pool for node in fleet.nodes if gone[node.pool]]


def facts_at(world: World, tick: int, banned: Bools) -> tuple[PoolFacts, ...]:
    """Return what was known of each pool at a tick; pools without a price yet are left out."""
    as_of = world.at(tick)
    prices, probabilities, confidences = world.price[tick], world.probability[tick], world.confidence[tick]
    return tuple(
        _facts(world, place, as_of, float(prices[i]), float(probabilities[i]), float(confidences[i]), bool(banned[i]))
        for i, place in enumerate(world.places)
        if not np.isnan(prices[i])
    )


def _facts(
    world: World, place: Place, as_of: datetime, price: float, probability: float, confidence: float, banned: bool
) -> PoolFacts:
    predicted = not (banned or np.isnan(probability))
    return PoolFacts(
        pool_id=place.pool_id,
        region=place.region,
        availability_zone=place.availability_zone,
        instance_type=place.instance_type,
        product_description=place.product,
        price=price,
        on_demand_price=place.on_demand,
        vcpu=place.vcpu,
        memory_gib=place.memory_gib,
        gpus=place.gpus,
        gpu_model=place.gpu_model,
        architecture=place.architecture,
        interruption_probability=probability if predicted else None,
        horizon_hours=world.horizon_hours,
        confidence=confidence if predicted and not np.isnan(confidence) else None,
        data_as_of=as_of,
    )
