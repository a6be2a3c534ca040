"""One engine over one past: asked at each instant with what was known then, carried out, billed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from engines.contract import Cluster, DecisionInput, DecisionOutput, PoolFacts
from engines.errors import EngineFailed
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
    """Replay one workload under one engine; an EngineFailed is counted, and nothing done. Raises Stopped."""
    fleet = Fleet(world, workload, interruption_node_hours)
    teller = Teller(world)
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
            asked = _question(world, fleet, contender, tick, teller.facts(tick, banned_until > tick))
            for pool in _decided(fleet, contender, asked, tick, gone):
                banned_until[pool] = tick + ban
        fleet.pass_time(tick)
    return fleet.bill


def _question(
    world: World, fleet: Fleet, contender: Contender, tick: int, known: tuple[PoolFacts, ...]
) -> DecisionInput:
    as_of = world.at(tick)
    cluster: Cluster = fleet.cluster()
    return DecisionInput(
        as_of=as_of,
        market_id=world.market_id,
        clusters=(cluster,),
        pools=known,
        config=contender.config,
    )


def _decided(fleet: Fleet, contender: Contender, asked: DecisionInput, tick: int, gone: Bools) -> frozenset[int]:
    """Ask, judge and carry out; return the pools that refused a launch."""
    fleet.bill.decisions += 1
    try:
        decision = contender.decide(asked).decisions[0]
    except EngineFailed:
        fleet.bill.failures += 1
        return frozenset()
    fleet.bill.violations += len(violations(asked, decision))
    return fleet.carry_out(decision, tick, gone)


class Teller:
    """Tells what was known of each pool at a tick; facts that have not changed since are told again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: list[tuple[tuple[float, float, float, bool], PoolFacts] | None] = [None] * len(world.places)

    def facts(self, tick: int, banned: Bools) -> tuple[PoolFacts, ...]:
        """Return the facts at a tick; pools without a price yet are left out, `banned` ones have no prediction."""
        world, as_of = self._world, self._world.at(tick)
        rows = zip(
            world.price[tick].tolist(),
            world.probability[tick].tolist(),
            world.confidence[tick].tolist(),
            banned.tolist(),
            strict=True,
        )
        found = []
        for i, key in enumerate(rows):
            last = self._told[i]
            if math.isnan(key[0]):
                continue
            if last is None or last[0] != key:
                last = self._told[i] = (key, _facts(world, world.places[i], as_of, *key))
            found.append(last[1])
        return tuple(found)


def _facts(
    world: World, place: Place, as_of: datetime, price: float, probability: float, confidence: float, banned: bool
) -> PoolFacts:
    predicted = not (banned or math.isnan(probability))
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
        confidence=confidence if predicted and not math.isnan(confidence) else None,
        data_as_of=as_of,
    )
