"""Predictions on request, and those of the past."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from gapfill.pools import LINUX
from gapfill.scope import Scope
from services import telemetry
from services.api.answers import Json, columns, instants
from services.api.asking import PREFIX, InHouse, Instant, PlaceName
from services.api.gate import needs
from services.api.stream import prediction_rows
from services.errors import DataStale, RequestInvalid
from services.live.past import in_usd, predictions_with_actuals
from services.live.predicted import Ask

MOST_ROWS = 50_000
router = APIRouter(prefix=PREFIX, tags=["predictions"])


class PredictRequest(BaseModel):
    """One question; left out means as it is now, a launch now, every zone, the active model."""

    model_config = ConfigDict(extra="forbid")

    instance_type: PlaceName = Field(description="Such as m5.large")
    region: PlaceName = Field(description="Such as us-east-1")
    spot_price: float | None = Field(
        None, gt=0, allow_inf_nan=False, strict=True, description="USD per hour; default: the current one"
    )
    launch_time: Instant | None = Field(
        None, description="Past: a running instance; future: a planned launch (at most 30 days ahead); default: now"
    )
    availability_zone: PlaceName | None = Field(None, description="Default: every zone, and the riskiest answers")
    product_description: PlaceName = Field(LINUX, description="As AWS spells it")
    horizon_hours: int | None = Field(None, strict=True, description="Must be the model's own")
    model_id: PlaceName | None = Field(None, description="Any version; default: the active one")

    def ask(self, *, include_features: bool) -> Ask:
        """The question in the live room's words."""
        return Ask(**self.model_dump(), include_features=include_features)


@router.post("/predict/spot-interruption", response_class=Json)
@needs("invoker")
async def spot_interruption(house: InHouse, request: PredictRequest, include: str | None = None) -> Response:
    """The probability that a spot instance of the pool is interrupted within the model's horizon."""
    answer = await house.inference.answer(request.ask(include_features=check_include(include)))
    telemetry.model_id.set(answer["model_id"])
    if house.settings.refuse_unskilled and request.model_id is None:
        # It was noted all the same: only so can the model show that it has become better.
        await run_in_threadpool(house.skills.check, answer["model_id"])
    house.metrics.predictions.labels(model_id=answer["model_id"], origin="served").inc(len(answer["pools"]))
    return Json(answer)


def check_include(include: str | None) -> bool:
    """Whether features are to be included; raises `RequestInvalid` for what cannot be."""
    if include not in (None, "features"):
        raise RequestInvalid(
            "include", f"{include[:40]!r} cannot be included.", "Send include=features, or leave it out."
        )
    return include == "features"


@router.get("/predictions/latest", response_class=Json)
@needs("viewer")
def latest(
    house: InHouse,
    region: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Annotated[list[str], Query()] = [],  # noqa: B006
    cluster_id: str | None = None,
) -> Response:
    """What the live loop said last of each pool."""
    pool_ids = _pools_of(house, cluster_id) if cluster_id else ()
    found = house.latest.predictions(regions=tuple(region), instance_types=tuple(instance_type), pool_ids=pool_ids)
    if found is None:
        raise DataStale(None, house.settings.data_max_age_s)
    event, rows = found
    if cluster_id and not pool_ids:
        rows = rows.clear()
    return Json(prediction_rows(event, rows))


@router.get("/predictions/history", response_class=Json)
@needs("viewer")
async def history(
    house: InHouse,
    region: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Annotated[list[str], Query()] = [],  # noqa: B006
    pool_id: Annotated[list[str], Query()] = [],  # noqa: B006
    model_id: str | None = None,
    origin: str | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 5000,
) -> Response:
    """Past predictions beside what then happened, as columns of equal length, oldest first."""
    now = datetime.now(UTC)
    since, until = _stretch(start, end, now + timedelta(seconds=1))
    scope = Scope(tuple(region), tuple(instance_type), (), tuple(pool_id))
    rows = await run_in_threadpool(
        lambda: predictions_with_actuals(
            house.history,
            scope,
            since,
            until,
            now,
            model_id=model_id,
            origin=origin,
            limit=limit,
            confirmed=house.clusters.confirmed(),
        )
    )
    return Json(
        {
            "market_id": house.facts["market_id"],
            "simulated": house.facts["simulated"],
            "start": since,
            "end": until,
            "count": rows.height,
            "truncated": rows.height == limit,
            "columns": columns(instants(rows)),
        }
    )


@router.get("/prices/history", response_class=Json)
@needs("viewer")
async def prices(
    house: InHouse,
    pool_id: Annotated[list[str], Query(min_length=1, max_length=50)],
    start: Instant | None = None,
    end: Instant | None = None,
) -> Response:
    """Price points of some pools (USD per hour), each preceded by the one that held at `start`."""
    since, until = _stretch(start, end, datetime.now(UTC))
    rows = await run_in_threadpool(house.history.prices, Scope.of_pools(pool_id), since, until)
    told = in_usd(rows).rename({"usd": "spot_price"})
    return Json(
        {
            "market_id": house.facts["market_id"],
            "simulated": house.facts["simulated"],
            "columns": columns(instants(told)),
        }
    )


def _stretch(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """[start, end), in UTC; without `start` the two days before `end`, without `end` up to `now`."""
    until = (end or now).astimezone(UTC)
    since = start.astimezone(UTC) if start else until - timedelta(days=2)
    if since >= until:
        raise RequestInvalid("start", "is not before `end`.", "Send start < end, both with a time zone.")
    return since, until


def _pools_of(house: InHouse, cluster_id: str) -> tuple[str, ...]:
    cluster = house.clusters.get(cluster_id)
    return tuple(
        sorted(
            {
                f"{node.region}/{node.availability_zone}/{node.instance_type}/{cluster.product_description}"
                for node in cluster.nodes
            }
        )
    )
