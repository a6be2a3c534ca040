"""Answering a prediction request from memory: feature rows of the board, what the request overrides, one scorer."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapfill.features.request import apply_request, now_observed
from gapfill.pools import LINUX, Pool
from services.errors import DataStale, PoolUnknown, RequestInvalid, Unavailable
from services.live.board import FeatureBlock, FeatureBoard
from services.live.facts import Places
from services.models.awaiting import lend_soon
from services.models.held import Lent
from services.models.predictor import Scored, predict, predict_soon
from services.models.scorer import Matrix, Vector
from services.models.slots import Slots
from services.models.version import Task

TASK: Task = "spot_interruption"
Rows = tuple[tuple[str, ...], Matrix, NDArray[np.bool_], Vector]


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


class Inference:
    """Answers `Ask`s. Does no I/O except to load a version that is not active."""

    def __init__(self, board: FeatureBoard, slots: Slots, max_age_s: float) -> None:
        self._board = board
        self._slots = slots
        self._max_age_s = max_age_s

    def interruption(self, ask: Ask, now: datetime | None = None) -> dict[str, Any]:
        """The highest interruption probability over the zones asked for, and each zone's under `pools`.

        Raises `NoActiveModel`, `ModelNotFound`, `PoolUnknown`, `DataStale`, `RequestInvalid`, `FeatureRequestInvalid`.
        """
        at = now or datetime.now(UTC)
        loan = self._slots.lend(TASK) if ask.model_id is None else self._slots.lend_version(ask.model_id)
        with loan as lent:
            block, places, rows = self._rows(ask, lent, at)
            scored = predict(lent.scorer, lent.version, *rows)
        return _answer(ask, lent, block, places, scored, at)

    async def answer(self, ask: Ask, now: datetime | None = None) -> dict[str, Any]:
        """`interruption` on the event loop: a model that is scored in another process is awaited.

        Raises `ModelUnavailable` too.
        """
        at = now or datetime.now(UTC)
        loan = self._slots.lend(TASK) if ask.model_id is None else await lend_soon(self._slots, ask.model_id)
        with loan as lent:
            block, places, rows = self._rows(ask, lent, at)
            scored = await predict_soon(lent.scorer, lent.version, *rows)
        return _answer(ask, lent, block, places, scored, at)

    def _rows(self, ask: Ask, lent: Lent, at: datetime) -> tuple[FeatureBlock, Places, Rows]:
        """The rows of the pools asked for, as `predict` takes them."""
        _check(ask, lent)
        block, places = self._find(ask, at)
        rows = apply_request(
            block.matrix[places], block.names, now=at, spot_price=ask.spot_price, launch_time=ask.launch_time
        )
        imputed = now_observed(block.imputed[places], block.names, spot_price=ask.spot_price)
        return block, places, (block.names, rows, imputed, block.silence_h(places))

    def _find(self, ask: Ask, at: datetime) -> tuple[FeatureBlock, Places]:
        found = self._board.rows(ask.region, ask.instance_type, ask.product_description)
        if found is None:
            raise DataStale(None, self._max_age_s)
        block, places = found
        if ask.availability_zone is not None:
            zone = ask.availability_zone
            places = places[[Pool.parse(block.pool_ids[place]).zone == zone for place in places]]
        if not len(places):
            asked = Pool(ask.region, ask.availability_zone or "*", ask.instance_type, ask.product_description).pool_id
            advice = (
                "Track it: POST gap-filler/fill with its region and instance type; it is known from the next tick on."
            )
            raise PoolUnknown(asked, advice)
        known_at = float(np.nanmin(block.known_at[places])) if not np.isnan(block.known_at[places]).all() else None
        if known_at is None or at.timestamp() - known_at > self._max_age_s:
            raise DataStale(datetime.fromtimestamp(known_at, UTC) if known_at is not None else None, self._max_age_s)
        return block, places


def _check(ask: Ask, lent: Lent) -> None:
    version = lent.version
    if version.task != TASK:
        raise RequestInvalid(
            "model_id",
            f"{version.model_id} is a model of the task {version.task}.",
            f"Name a model of the task {TASK}.",
        )
    if ask.horizon_hours is not None and ask.horizon_hours != version.horizon_hours:
        raise RequestInvalid(
            "horizon_hours",
            f"{version.model_id} predicts {version.horizon_hours} h ahead, not {ask.horizon_hours} h.",
            f"Leave it out, or send {version.horizon_hours}.",
        )


def _answer(ask: Ask, lent: Lent, block: FeatureBlock, places: Places, scored: Scored, at: datetime) -> dict[str, Any]:
    version = lent.version
    if np.isnan(scored.values).all():
        missing = [name for name, value in zip(version.features, scored.matrix[0], strict=True) if np.isnan(value)]
        raise Unavailable("prediction", f"not known for this pool, and the model needs it: {', '.join(missing)}")
    column = {name: i for i, name in enumerate(block.names)}
    pools: list[dict[str, Any]] = []
    for row, place in enumerate(places):
        pool = Pool.parse(block.pool_ids[place])
        values = block.matrix[place]
        pools.append(
            {
                "pool_id": pool.pool_id,
                "availability_zone": pool.zone,
                "interruption_probability": _number(scored.values[row]),
                "confidence": float(scored.confidence.total[row]),
                "confidence_parts": _parts(scored, row),
                "spot_price": ask.spot_price if ask.spot_price is not None else _number(values[column["price"]]),
                "on_demand_price": _number(values[column["on_demand_price"]]),
                "data_as_of": datetime.fromtimestamp(float(block.known_at[place]), UTC),
                "observed_at": datetime.fromtimestamp(float(block.observed_at[place]), UTC),
                "imputed_features": scored.imputed_names(row, version.features),
                **({"features": _features(scored, row, version.features)} if ask.include_features else {}),
            }
        )
    worst = pools[int(np.nanargmax(scored.values))]
    start = max(at, ask.launch_time) if ask.launch_time else at
    return {
        **worst,
        "region": ask.region,
        "instance_type": ask.instance_type,
        "product_description": ask.product_description,
        "model_id": version.model_id,
        "generation": lent.generation,
        "horizon_hours": version.horizon_hours,
        "as_of": at,
        "target_at": start + timedelta(hours=version.horizon_hours),
        "seq": block.seq,
        "data_age_seconds": round(at.timestamp() - worst["data_as_of"].timestamp(), 3),
        "market_id": block.market_id,
        "simulated": block.simulated,
        "pools": pools,
    }


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
