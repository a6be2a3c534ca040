"""The gap filler: analyse, fill, follow, cancel, retry, history, import."""

import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, File, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from gapfill.jobs import Job, Shard
from gapfill.pools import LINUX
from gapfill.requests import FillRequest
from services.api.asking import FIRST_SPOT_DAY, PREFIX, InHouse, PlaceName, Who, record
from services.api.gate import needs
from services.errors import RequestInvalid

CHUNK = 1024 * 1024
router = APIRouter(prefix=f"{PREFIX}/gap-filler", tags=["gap-filler"])
Names = Annotated[tuple[PlaceName, ...], Field(max_length=2000)]


class FillOrder(BaseModel):
    """What to fill; left out means its default: the configured regions and types, Linux/UNIX, the gap of the models."""

    model_config = ConfigDict(extra="forbid")

    instance_types: Names = ()
    regions: Names = ()
    product_descriptions: Names = ()
    trained_until: Annotated[date, Field(ge=FIRST_SPOT_DAY)] | None = None

    def request(self) -> FillRequest:
        """The order in the gap filler's words."""
        return FillRequest(self.regions, self.instance_types, self.product_descriptions, self.trained_until)


Order = Annotated[FillOrder | None, Body()]


@router.post("/analyze")
@needs("viewer")
async def analyze(house: InHouse, order: Order = None) -> dict[str, Any]:
    """What is missing between trained_until and now, what a fill would bring, and what the market no longer has."""
    analysis = await house.gaps.analyze((order or FillOrder()).request())
    return analysis.model_dump(mode="json")


@router.post("/fill", status_code=202)
@needs("operator")
async def fill(house: InHouse, who: Who, order: Order = None) -> dict[str, Any]:
    """Start to fill; follow it under status/{task_id}."""
    job = await house.gaps.submit((order or FillOrder()).request(), who.name)
    await run_in_threadpool(house.tracked.add, job.regions, job.instance_types, job.product_descriptions or (LINUX,))
    record(house, who, "fill.ordered", job.task_id)
    return _row(job)


@router.get("/status/{task_id}")
@needs("viewer")
def status(house: InHouse, task_id: str) -> dict[str, Any]:
    """How far a fill is: all figures come from work done."""
    return _full(house.jobs.get(task_id), house.jobs.shards(task_id))


@router.get("/history")
@needs("viewer")
def history(house: InHouse, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[dict[str, Any]]:
    """The last fills, newest first."""
    return [_row(job) for job in house.jobs.newest(limit)]


@router.post("/cancel/{task_id}")
@needs("operator")
async def cancel(house: InHouse, who: Who, task_id: str) -> dict[str, Any]:
    """End a fill: failed, with the reason "cancelled"; what it has stored stays."""
    job = await house.gaps.cancel(task_id)
    record(house, who, "fill.cancelled", task_id)
    return _row(job)


@router.post("/retry/{task_id}", status_code=202)
@needs("operator")
async def retry(house: InHouse, who: Who, task_id: str) -> dict[str, Any]:
    """Take up the failed shards of a fill again."""
    job = await house.gaps.retry(task_id)
    record(house, who, "fill.retried", task_id)
    return _row(job)


@router.post("/import", status_code=201)
@needs("operator", upload=True)
async def import_file(
    house: InHouse, who: Who, file: Annotated[UploadFile, File(description="CLI JSON, TSV, CSV or Parquet")]
) -> dict[str, Any]:
    """Store price history from a file, for what the market no longer has."""
    suffix = Path(file.filename or "").suffix.lower()
    if suffix not in (".json", ".tsv", ".csv", ".parquet"):
        raise RequestInvalid("file", f"{suffix or 'no ending'} is not known.", "Send .json, .tsv, .csv or .parquet.")
    await run_in_threadpool(house.settings.data_dir.mkdir, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=suffix, dir=house.settings.data_dir) as kept:
        while chunk := await file.read(CHUNK):
            kept.write(chunk)
        kept.flush()
        counts = await house.gaps.import_file(Path(kept.name), file.filename or "")
    record(house, who, "prices.imported", file.filename or "", **counts)
    return counts


@router.get("/places")
@needs("viewer")
async def places(house: InHouse) -> dict[str, list[str]]:
    """Regions and the instance types that each offers: what `fill` accepts."""
    return await house.gaps.places()


def _row(job: Job) -> dict[str, Any]:
    row = job.model_dump(mode="json")
    row.pop("coverage")
    row["errors"] = len(job.errors)
    return row


def _full(job: Job, shards: Iterable[Shard]) -> dict[str, Any]:
    return {**job.model_dump(mode="json"), "shards": [shard.model_dump(mode="json") for shard in shards]}
