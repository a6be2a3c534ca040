"""What happens outside: interruption warnings as EventBridge sends them, and who held spot nodes before we knew."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from gapfill.pools import Pool
from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Instant, Who, record
from services.api.gate import needs
from services.api.house import House
from services.errors import RequestInvalid
from services.live.interruptions import Interruptions
from services.live.ledger.eventbridge import EventBridgeEvent, ExperimentTurn, Warned, read_event
from services.live.ledger.journal import LedgerJournal, Past

MOST_EVENTS = 1000
MOST_SPANS = 10_000
router = APIRouter(prefix=PREFIX, tags=["events"])

Events = EventBridgeEvent | Annotated[list[EventBridgeEvent], Field(max_length=MOST_EVENTS)]


class Stretch(BaseModel):
    """A node held its pool from `start` to `end`, and all of its pool's warnings in that time are told, too."""

    model_config = ConfigDict(extra="forbid")

    node_id: str = Field(min_length=1, max_length=200, description="The instance id, as warnings name it")
    pool_id: str = Field(min_length=7, max_length=300, description="region/zone/type/product")
    start: Instant
    end: Instant


class PastExposure(BaseModel):
    """What a cluster held before it was registered here."""

    model_config = ConfigDict(extra="forbid")

    cluster_id: str = Field(min_length=1, max_length=255)
    stretches: list[Stretch] = Field(max_length=MOST_SPANS)


@router.post("/events/interruptions", response_class=Json)
@needs("invoker")
async def post_interruptions(
    house: InHouse,
    who: Who,
    events: Annotated[Events, Body()],
    injected: Annotated[bool, Query(description="These are a test's: the market did not do it")] = False,
) -> Response:
    """Take in spot interruption warnings, one event or a list of them, as EventBridge sends them."""
    given = events if isinstance(events, list) else [events]
    told = [_read(event, place, injected=injected) for place, event in enumerate(given)]
    results = await run_in_threadpool(_keep, house, told)
    counts = {word: results.count(word) for word in ("new", "known", "injected", "ignored")}
    for word, count in counts.items():
        house.metrics.interruption_events.labels(result=word).inc(count)
    if counts["new"] + counts["injected"]:
        record(house, who, "interruption.received", given[0].region, **counts)
    rows = [{"event_id": event.id, "result": result} for event, result in zip(given, results, strict=True)]
    return Json({"received": len(given), **counts, "events": rows})


@router.get("/events/interruptions", response_class=Json)
@needs("viewer")
async def interruptions(
    house: InHouse,
    region: str | None = None,
    pool_id: str | None = None,
    cluster_id: str | None = None,
    start: Instant | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> Response:
    """Warnings that the ledger has, newest first; `pool_id` is null where nobody knows the instance."""
    rows = await run_in_threadpool(house.history.ledger.interruptions, start.astimezone(UTC) if start else None)
    wanted = {"region": region, "pool_id": pool_id, "cluster_id": cluster_id}
    for name, value in wanted.items():
        if value is not None:
            rows = rows.filter(rows[name] == value)
    newest = rows.sort("at", "event_id", descending=True).head(limit).to_dicts()
    told = [{**row, "pool_id": row["pool_id"] or None, "cluster_id": row["cluster_id"] or None} for row in newest]
    return Json({"count": rows.height, "interruptions": told})


@router.post("/events/exposures", response_class=Json)
@needs("operator")
async def post_exposures(house: InHouse, who: Who, past: PastExposure) -> Response:
    """Tell what a cluster held before it was registered, so that the time before counts too."""
    now = datetime.now(UTC)
    told = [_past(past.cluster_id, one, now) for one in past.stretches]
    await run_in_threadpool(LedgerJournal(house.store).tell_all, told)
    hours = sum((one.end - one.start).total_seconds() / 3600 for one in told)
    record(house, who, "exposure.told", past.cluster_id, stretches=len(told), node_hours=round(hours, 1))
    return Json({"cluster_id": past.cluster_id, "stretches": len(told), "node_hours": round(hours, 3)})


def _read(event: EventBridgeEvent, place: int, *, injected: bool) -> Warned | ExperimentTurn | None:
    at = event.time.astimezone(UTC)
    if at > datetime.now(UTC) + timedelta(hours=1):
        raise RequestInvalid("time", f"event {place}: {event.time.isoformat()} lies ahead.", "Send it as it came.")
    try:
        return read_event(event.model_copy(update={"time": at}), injected=injected)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RequestInvalid(
            f"detail.{field}", f"event {place}: {error.errors()[0]['msg']}.", "Send the event as EventBridge has it."
        ) from error


def _keep(house: House, told: list[Warned | ExperimentTurn | None]) -> list[str]:
    """What became of each: new, known, injected, ignored (of another kind)."""
    journal = LedgerJournal(house.store)
    warnings = Interruptions(house.store)
    times = [one.at for one in told if one is not None]
    kept = house.history.ledger.interruptions(min(times), max(times))["event_id"] if times else ()
    known = journal.unread_ids() | set(kept)
    results = []
    for one in told:
        if one is None:
            results.append("ignored")
        elif one.event_id in known:
            results.append("known")
        else:
            known.add(one.event_id)
            journal.tell(one)
            if isinstance(one, Warned):
                warnings.tell(one.instance_id, one.at)
            results.append("injected" if isinstance(one, Warned) and one.injected else "new")
    return results


def _past(cluster_id: str, one: Stretch, now: datetime) -> Past:
    try:
        pool_id = Pool.parse(one.pool_id).pool_id
    except ValueError as error:
        raise RequestInvalid("pool_id", f"{one.pool_id!r} is none.", "Send region/zone/type/product.") from error
    start, end = one.start.astimezone(UTC), one.end.astimezone(UTC)
    if not start < end <= now:
        raise RequestInvalid("end", "is not after start, or lies ahead.", "Send start < end, both in the past.")
    return Past(cluster_id, one.node_id, pool_id, start, end)
