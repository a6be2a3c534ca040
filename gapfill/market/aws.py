"""The HTTP face towards AWS clients: finds the action of a request, answers it, and lets faults strike."""

import asyncio
import logging
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gapfill.market import places, pricing
from gapfill.market.faults import Fault, Faults
from gapfill.market.source import MarketSource
from gapfill.market.spot_history import SpotHistory
from gapfill.market.wire import AwsError, Call, answer, read_form, refusal, region_of, tags

_log = logging.getLogger(__name__)
_REMEMBERED = 20_000
_REFUSALS: dict[str, AwsError] = {
    "throttling": AwsError("RequestLimitExceeded", "Request limit exceeded.", 503),
    "server_error": AwsError("InternalError", "An internal error has occurred", 500),
    "expired_token": AwsError("RequestExpired", "Request has expired.", 400),
    "auth_failure": AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
}
# The Pricing service has other words for the same.
_PRICING_CODES = {
    "RequestLimitExceeded": ("ThrottlingException", 400),
    "InternalError": ("InternalErrorException", 500),
    "RequestExpired": ("ExpiredTokenException", 400),
    "AuthFailure": ("UnrecognizedClientException", 400),
}
_PLACES: dict[str, Callable[[MarketSource, Call], str]] = {
    "DescribeRegions": places.describe_regions,
    "DescribeAvailabilityZones": places.describe_zones,
    "DescribeInstanceTypes": places.describe_types,
    "DescribeInstanceTypeOfferings": places.describe_offerings,
}
ACCOUNT = "000000000000"


@dataclass(slots=True)
class RequestLog:
    """How often each action was asked of each region, and the last requests with their fields."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    last: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def add(self, call: Call) -> None:
        """Count one request, whatever will be answered."""
        self.counts[call.action, call.region] += 1
        self.last.append({"action": call.action, "region": call.region, "fields": dict(call.fields)})

    def clear(self) -> None:
        """Start counting anew."""
        self.counts.clear()
        self.last.clear()


class AwsFace:
    """Answers EC2, Pricing and STS requests over a source; `clock` says what now is."""

    def __init__(self, source: MarketSource, faults: Faults, clock: Callable[[], datetime]) -> None:
        self.requests = RequestLog()
        self.history = SpotHistory(source)
        self._source = source
        self._faults = faults
        self._clock = clock

    async def answer(self, request: Request) -> Response:
        """One AWS request; a refusal is an answer too."""
        target = request.headers.get("x-amz-target", "")
        request_id = str(uuid.uuid4())
        try:
            region = region_of(request.headers.get("authorization", ""))
            body = await request.body()
            call = Call(target.rpartition(".")[2], region, {}) if target else read_form(body, region)
            self.requests.add(call)
            struck = self._faults.strike(region, call.action)
            await _refuse_or_wait(struck)
            work = self._priced if target else self._described
            content = await run_in_threadpool(work, call, body, request_id, struck)
        except AwsError as error:
            return _refused(error, request_id, is_json=bool(target))
        response = Response(content, media_type="application/x-amz-json-1.1" if target else "text/xml;charset=UTF-8")
        cut = next((fault for fault in struck if fault.kind == "cut_off"), None)
        return response if cut is None else CutOff(response, cut.cut_after_bytes)

    def _described(self, call: Call, _: bytes, request_id: str, struck: list[Fault]) -> bytes:
        if call.action == "GetCallerIdentity":
            return _identity(request_id)
        if call.region not in self._source.regions():
            raise _REFUSALS["auth_failure"]
        if call.action == "DescribeSpotPriceHistory":
            kinds = {fault.kind for fault in struck}
            inner = self.history.page(
                call,
                int(self._clock().timestamp()),
                shortened="short_pages" in kinds,
                doubled="duplicated_records" in kinds,
            )
            return answer(call.action, request_id, inner)
        if call.action not in _PLACES:
            raise AwsError("InvalidAction", f"The action {call.action} is not valid for this web service.")
        return answer(call.action, request_id, _PLACES[call.action](self._source, call))

    def _priced(self, call: Call, body: bytes, _: str, __: list[Fault]) -> bytes:
        if call.region not in pricing.HOMES:
            raise AwsError("UnrecognizedClientException", f"Pricing does not answer in {call.region}")
        if call.action != "GetProducts":
            raise AwsError("UnknownOperationException", f"{call.action} is not served here")
        return orjson.dumps(pricing.get_products(self._source, body))


class CutOff(Response):
    """An answer whose connection breaks after some bytes of the body that its head has promised."""

    def __init__(self, whole: Response, after_bytes: int) -> None:
        super().__init__(whole.body, whole.status_code, dict(whole.headers))
        self._after = min(after_bytes, max(len(whole.body) - 1, 0))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and a part of the body; the server closes the connection over the missing rest."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body)[: self._after], "more_body": True})


async def _refuse_or_wait(struck: list[Fault]) -> None:
    for fault in struck:
        if fault.kind == "slow":
            await asyncio.sleep(fault.delay_s)
        if fault.kind in _REFUSALS:
            raise _REFUSALS[fault.kind]


def _refused(error: AwsError, request_id: str, *, is_json: bool) -> Response:
    _log.debug("refused %s: %s", error.code, error.message)
    if not is_json:
        return Response(refusal(error, request_id), error.status, media_type="text/xml;charset=UTF-8")
    code, status = _PRICING_CODES.get(error.code, (error.code, error.status))
    body = orjson.dumps({"__type": code, "message": error.message})
    return Response(body, status, media_type="application/x-amz-json-1.1")


def _identity(request_id: str) -> bytes:
    named = tags(Arn=f"arn:aws:iam::{ACCOUNT}:user/simulated", UserId="AIDASIMULATED", Account=ACCOUNT)
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult>{named}</GetCallerIdentityResult>"
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    ).encode()
