"""What is asked of a prediction and what is told of it: the riskiest pool of those asked for, and every one of them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from gapfill.pools import LINUX, Pool
from services.errors import Unavailable
from services.live.board import FeatureBlock
from services.live.experiments.answering import Part
from services.live.facts import Places
from services.models.held import Lent
from services.models.predictor import Scored


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked; None means: as it is now (price), a launch now (launch_time), any zone, the active model."""

    instance_type: str
    region: str
    spot_price: float | None = None
    launch_time: datetime | None = None
    availability_zone: str | None = None
    product_description: str = LINUX
    horizon_hours: int | None = None
    model_id: str | None = None
    include_features: bool = False


def by_one(lent: Lent, scored: Scored) -> Part:
    """One model for all rows, outside of experiments."""
    return Part(lent, scored, np.arange(len(scored.values)))


def answer_of(ask: Ask, parts: list[Part], block: FeatureBlock, places: Places, at: datetime) -> dict[str, Any]:
    """The riskiest pool of all that the parts speak of, and every pool, in the order of `places`."""
    if all(np.isnan(part.scored.values).all() for part in parts):
        features, row = parts[0].lent.version.features, parts[0].scored.matrix[0]
        missing = [name for name, value in zip(features, row, strict=True) if np.isnan(value)]
        raise Unavailable("prediction", f"not known for this pool, and the model needs it: {', '.join(missing)}")
    found: list[tuple[int, float, Part, dict[str, Any]]] = []
    for part in parts:
        for row_of_part, index in enumerate(part.places):
            told = _pool(ask, part, row_of_part, block, int(places[index]))
            found.append((int(index), float(part.scored.values[row_of_part]), part, told))
    _, _, part, worst = max((one for one in found if not np.isnan(one[1])), key=lambda one: (one[1], -one[0]))
    found.sort(key=lambda one: one[0])
    version = part.lent.version
    start = max(at, ask.launch_time) if ask.launch_time else at
    return {
        **worst,
        "region": ask.region,
        "instance_type": ask.instance_type,
        "product_description": ask.product_description,
        "model_id": version.model_id,
        "generation": part.lent.generation,
        "experiment": part.mark,
        "horizon_hours": version.horizon_hours,
        "as_of": at,
        "target_at": start + timedelta(hours=version.horizon_hours),
        "seq": block.seq,
        "data_age_seconds": round(at.timestamp() - worst["data_as_of"].timestamp(), 3),
        "market_id": block.market_id,
        "simulated": block.simulated,
        "pools": [told for _, _, _, told in found],
    }


def _pool(ask: Ask, part: Part, row: int, block: FeatureBlock, place: int) -> dict[str, Any]:
    """One pool of an answer; where an experiment runs it says which model answered, and for which arm."""
    version, scored = part.lent.version, part.scored
    pool = Pool.parse(block.pool_ids[place])
    values = block.matrix[place]
    told: dict[str, Any] = {
        "pool_id": pool.pool_id,
        "availability_zone": pool.zone,
        "interruption_probability": _number(scored.values[row]),
        "confidence": float(scored.confidence.total[row]),
        "confidence_parts": _parts(scored, row),
        "spot_price": ask.spot_price if ask.spot_price is not None else _number(values[_column(block.names, "price")]),
        "on_demand_price": _number(values[_column(block.names, "on_demand_price")]),
        "data_as_of": datetime.fromtimestamp(float(block.known_at[place]), UTC),
        "observed_at": datetime.fromtimestamp(float(block.observed_at[place]), UTC),
        "imputed_features": scored.imputed_names(row, version.features),
    }
    if part.experiment_id:
        told["model_id"] = version.model_id
        told["experiment"] = part.mark
    if ask.include_features:
        told["features"] = _features(scored, row, version.features)
    return told


def _column(names: tuple[str, ...], name: str) -> int:
    return names.index(name)


def _parts(scored: Scored, row: int) -> dict[str, float | None]:
    parts = scored.confidence
    return {
        "observed": float(parts.observed[row]),
        "fresh": float(parts.fresh[row]),
        "familiar": float(parts.familiar[row]) if parts.familiar is not None else None,
    }


def _features(scored: Scored, row: int, names: tuple[str, ...]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, scored.matrix[row], strict=True)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
