"""Availability traces (skypilot-org/spot-traces): one JSON file per zone, one sample per `gap_seconds`.

`{"metadata": {"gap_seconds": 195}, "data": [0, 1, …]}`: 1 while an instance could be had (or was alive). The zone and
the GPU are in the file's name (`us-east-1a_v100_1.json`), the first day in the folder's (`availability_2023-02-15`).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from engines.replay.advisor import Advisor
from engines.replay.errors import TraceInvalid
from engines.replay.world import Bools, Floats, Place, World

_FILE = re.compile(r"(?P<zone>(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)[a-z])_(?P<gpu>[a-z0-9]+)_(?P<count>\d+)\.json")
_FOLDER = re.compile(r".*_(\d{4}-\d{2}-\d{2})")
# What the traces' GPU names were measured on, and what that type is made of (AWS's own figures).
_TYPES = {("v100", 1): ("p3.2xlarge", 8.0, 61.0, "V100")}
_PAST_HOURS = 168.0
_DECIDE_HOURS = 1.0


@dataclass(frozen=True, slots=True)
class Trace:
    """One zone's samples, `gap_s` seconds apart."""

    region: str
    zone: str
    instance_type: str
    gap_s: float
    available: Bools


def read_traces(folder: Path) -> tuple[datetime, tuple[Trace, ...]]:
    """Return the start and the traces of one folder, by zone; raises TraceInvalid."""
    named = _FOLDER.fullmatch(folder.name)
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if named is None or not files:
        raise TraceInvalid(folder.name, "it is no folder whose name ends in _YYYY-MM-DD with .json traces in it")
    try:
        start = datetime.fromisoformat(named[1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise TraceInvalid(folder.name, f"{named[1]} is no date") from error
    traces = tuple(_read(file) for file in files)
    if len({trace.gap_s for trace in traces}) > 1:
        raise TraceInvalid(folder.name, "its traces are not sampled alike")
    return start, traces


def _read(file: Path) -> Trace:
    named = _FILE.fullmatch(file.name)
    kind = _TYPES.get((named["gpu"], int(named["count"]))) if named else None
    if named is None or kind is None:
        raise TraceInvalid(file.name, "its name says no zone and GPU that are known, such as us-east-1a_v100_1.json")
    try:
        content = json.loads(file.read_bytes())
        gap_s, samples = float(content["metadata"]["gap_seconds"]), np.asarray(content["data"], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        raise TraceInvalid(file.name, f"it is no trace: {type(error).__name__} {error}") from error
    if gap_s <= 0 or samples.ndim != 1 or not len(samples) or not np.isin(samples, (0, 1)).all():
        raise TraceInvalid(file.name, "its samples are not 0 or 1 at equal steps")
    return Trace(named["region"], named["zone"], kind[0], gap_s, samples > 0)


def trace_world(folder: Path, on_demand: Mapping[tuple[str, str], float], advisor: Advisor) -> World:
    """Return the past of one folder of traces.

    `on_demand` is USD per hour by (region, instance type). Spot prices are on demand less the advisor's saving,
    predictions the rate seen in the trace's own past. Raises TraceInvalid, also where a price or advice is missing.
    """
    start, traces = read_traces(folder)
    ticks = min(len(trace.available) for trace in traces)
    available = np.stack([trace.available[:ticks] for trace in traces], axis=1)
    places, spot, prior = [], [], []
    for trace in traces:
        price = on_demand.get((trace.region, trace.instance_type))
        advice = advisor.get(trace.region, "Linux/UNIX", trace.instance_type)
        if price is None or advice is None:
            raise TraceInvalid(folder.name, f"no price or advice for {trace.instance_type} in {trace.region}")
        places.append(_place(trace, price))
        spot.append(price * (1 - advice.saving))
        prior.append(advice.hazard)
    tick_hours = traces[0].gap_s / 3600
    rate = rates_seen(available, tick_hours, np.array(prior))
    return World(
        name=folder.name,
        start=start,
        tick_hours=tick_hours,
        decide_every=max(1, round(_DECIDE_HOURS / tick_hours)),
        places=tuple(places),
        price=np.tile(np.array(spot), (ticks, 1)),
        probability=-np.expm1(-rate),
        confidence=np.full((ticks, len(places)), 0.5),
        hazard=np.zeros(len(places)),
        horizon_hours=1.0,
        predicted_by="the trace's own past (7 days), from the advisor's rate on",
        available=available,
        market_id=f"replay:{folder.name}",
    )


def _place(trace: Trace, on_demand: float) -> Place:
    vcpu, memory_gib, model = next(made[1:] for made in _TYPES.values() if made[0] == trace.instance_type)
    return Place(
        pool_id=f"{trace.region}/{trace.zone}/{trace.instance_type}/Linux/UNIX",
        region=trace.region,
        availability_zone=trace.zone,
        instance_type=trace.instance_type,
        on_demand=on_demand,
        vcpu=vcpu,
        memory_gib=memory_gib,
        gpus=1,
        gpu_model=model,
    )


def rates_seen(available: Bools, tick_hours: float, prior: Floats) -> Floats:
    """Return, per tick and pool, interruptions per available hour over the past 7 days, known at that tick.

    (interruptions + 1) / (available hours + 1 / prior): a pool with no past has the `prior` rate (per hour).
    """
    ended = np.zeros(available.shape, dtype=np.float64)
    ended[1:] = available[:-1] & ~available[1:]
    window = max(1, round(_PAST_HOURS / tick_hours))

    def over_past(values: Floats) -> Floats:
        summed = np.cumsum(values, axis=0)
        summed[window:] -= summed[:-window].copy()
        return summed

    hours = over_past(available.astype(np.float64)) * tick_hours
    rates: Floats = (over_past(ended) + 1) / (hours + 1 / prior)
    return rates
