"""The market's own routes under `/_market`: its identity, forced prices, faults, interruptions, request counts."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gapfill.market.aws import AwsFace
from gapfill.market.faults import KINDS, Fault, Faults
from gapfill.market.forced import ForcedPrices
from gapfill.pools import LINUX, Pool

_Handler = Callable[[Request], Awaitable[Response]]


class _Wrong(ValueError):
    """A control request that cannot be meant; its text says why."""


class Control:
    """The handlers; all answer JSON, and 400 with `{"error": …}` for what cannot be meant."""

    def __init__(self, market: ForcedPrices, face: AwsFace, faults: Faults, clock: Callable[[], datetime]) -> None:
        self._market = market
        self._face = face
        self._faults = faults
        self._clock = clock

    def routes(self) -> list[Route]:
        """The routes to mount."""
        return [
            Route("/_market/identity", _guarded(self.identity), methods=["GET"]),
            Route("/_market/price", _guarded(self.price), methods=["POST"]),
            Route("/_market/faults", _guarded(self.faults), methods=["GET", "POST", "DELETE"]),
            Route("/_market/interruptions", _guarded(self.interruptions), methods=["GET"]),
            Route("/_market/requests", _guarded(self.requests), methods=["GET", "DELETE"]),
        ]

    async def identity(self, _: Request) -> Response:
        """GET: `{market_id, simulated, now, regions, …}`; what else depends on the source."""
        facts = {"market_id": self._market.market_id, "simulated": True, "now": self._clock()}
        return _json(facts | {"regions": self._market.regions()} | self._market.identity())

    async def price(self, request: Request) -> Response:
        """POST `{region, zone, instance_type, product?, price_usd}` or, to end it, `{…, release: true}`.

        `zone` is a zone name or id, `price_usd` a number or a text. The price holds from the current second until it is
        forced anew or released. Answers `{pool_id, at, price_usd}`.
        """
        body = await _body(request)
        region, zone = _text(body, "region"), _text(body, "zone")
        if region not in self._market.regions():
            raise _Wrong(f"this market has no region {region!r}")
        names = {zone_id: name for name, zone_id in self._market.zones(region).items()}
        pool = Pool(region, names.get(zone, zone), _text(body, "instance_type"), str(body.get("product", LINUX)))
        at = int(self._clock().timestamp())
        price = None if body.get("release") is True else _micro(body.get("price_usd"))
        try:
            price = await run_in_threadpool(self._set, pool, at, price)
        except KeyError as error:
            raise _Wrong(f"this market has no pool {pool.pool_id!r}") from error
        told = {"pool_id": pool.pool_id, "at": datetime.fromtimestamp(at, UTC)}
        return _json(told | {"price_usd": float(Decimal(price) / 1_000_000)})

    def _set(self, pool: Pool, at: int, price: int | None) -> int:
        if price is None:
            price = self._market.release(pool, at)
        else:
            self._market.force(pool, at, price)
        self._face.history.forget()
        return price

    async def faults(self, request: Request) -> Response:
        """GET lists, POST switches one on (the fields of `Fault`), DELETE switches off (`?kind=` or all)."""
        if request.method == "DELETE":
            self._faults.switch_off(request.query_params.get("kind"))
        if request.method == "POST":
            self._faults.switch_on(_fault(await _body(request)))
        return _json({"faults": [asdict(fault) for fault in self._faults.listed()]})

    async def interruptions(self, request: Request) -> Response:
        """GET `?region=&start=&end=` (ISO instants; default the last day): `{interruptions: [{pool_id, …, at}]}`."""
        region = request.query_params.get("region", "")
        if region not in self._market.regions():
            raise _Wrong(f"this market has no region {region!r}")
        now = self._clock()
        end = min(_instant(request, "end", now), now)
        start = _instant(request, "start", end - timedelta(days=1))
        found = await run_in_threadpool(
            self._market.interruptions, region, int(start.timestamp()), int(end.timestamp())
        )
        named = [{"pool_id": one.pool.pool_id, **asdict(one.pool), "at": one.at} for one in found]
        return _json({"region": region, "start": start, "end": end, "interruptions": named})

    async def requests(self, request: Request) -> Response:
        """GET `{actions: {action: {region: count}}, last: [...] with ?last=n}`; DELETE starts counting anew."""
        log = self._face.requests
        if request.method == "DELETE":
            log.clear()
        counts: dict[str, dict[str, int]] = {}
        for (action, region), count in sorted(log.counts.items()):
            counts.setdefault(action, {})[region] = count
        last = request.query_params.get("last", "0")
        wanted = int(last) if last.isdigit() else 0
        return _json({"actions": counts, "last": list(log.last)[-wanted:] if wanted else []})


def _guarded(handler: _Handler) -> _Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except _Wrong as error:
            return Response(orjson.dumps({"error": str(error)}), 400, media_type="application/json")

    return guarded


def _json(content: object) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), media_type="application/json")


async def _body(request: Request) -> dict[str, object]:
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise _Wrong(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise _Wrong("the body is not a JSON object")
    return body


def _text(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"{name} is missing")
    return value


def _micro(given: object) -> int:
    try:
        price = Decimal(str(given))
        micro = int((price * 1_000_000).to_integral_value()) if price.is_finite() else 0
    except InvalidOperation:
        micro = 0
    if micro <= 0:
        raise _Wrong(f"price_usd must be a number over 0, not {given!r}")
    return micro


def _fault(body: dict[str, object]) -> Fault:
    known = {one.name for one in fields(Fault)}
    if unknown := sorted(set(body) - known):
        raise _Wrong(f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if body.get("kind") not in KINDS:
        raise _Wrong(f"kind must be one of {', '.join(KINDS)}")
    for name in ("probability", "count", "delay_s", "cut_after_bytes", "seed"):
        if body.get(name) is not None and not isinstance(body[name], int | float):
            raise _Wrong(f"{name} must be a number")
    return Fault(**body)  # type: ignore[arg-type]


def _instant(request: Request, name: str, default: datetime) -> datetime:
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise _Wrong(f"{name} is not an instant: {text!r}") from error
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
