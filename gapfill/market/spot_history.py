"""DescribeSpotPriceHistory: filters, carry-in, retention, and pages newest first with tokens."""

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Callable
from fnmatch import fnmatchcase
from threading import Lock

import numpy as np

from gapfill.market.source import MarketSource, PriceRecords, Wanted
from gapfill.market.wire import AwsError, Call, tags, timestamp
from gapfill.pools import Pool

RETENTION_S = 90 * 86_400
PAGE = 1000
_CACHED = 8
_KNOWN_FILTERS = {
    "availability-zone",
    "availability-zone-id",
    "instance-type",
    "product-description",
    "spot-price",
    "timestamp",
}


class SpotHistory:
    """Answers one action over a source. Results being paged are kept for their next pages; a token needs none of it."""

    def __init__(self, source: MarketSource) -> None:
        self._source = source
        self._recent: OrderedDict[str, PriceRecords] = OrderedDict()
        self._lock = Lock()

    def page(self, call: Call, now: int, *, shortened: bool = False, doubled: bool = False) -> str:
        """One page's inner XML; `now` in seconds; a shortened page is half as long, a doubled one repeats a row."""
        start, end = _window(call, now)
        size = call.limit(PAGE)
        before: tuple[int, str] | None = None
        if token := call.get("NextToken"):
            before, end = _read_token(token)
        records = self._records(call, start, end)
        order = _newest_first(records)
        if before is not None:
            order = order[_place(records, order, before) :]
        shown = order[: max(1, size // 2) if shortened else size]
        more = len(order) > len(shown)
        following = _token(records, int(shown[-1]), end) if more else ""
        if doubled and len(shown):
            shown = np.concatenate([shown, shown[-1:]])
        zones = self._source.zones(call.region)
        return f"{_rows(records, shown, zones)}<nextToken>{following}</nextToken>"

    def _records(self, call: Call, start: int, end: int) -> PriceRecords:
        key = json.dumps([call.region, start, end, sorted((k, v) for k, v in call.fields.items() if "Token" not in k)])
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        records = self._filtered(call, start, end)
        if len(records.at) > PAGE // 2:
            with self._lock:
                self._recent[key] = records
                while len(self._recent) > _CACHED:
                    self._recent.popitem(last=False)
        return records

    def forget(self) -> None:
        """Drop what is kept for paging (prices were forced)."""
        with self._lock:
            self._recent.clear()

    def _filtered(self, call: Call, start: int, end: int) -> PriceRecords:
        filters = call.filters()
        if unknown := set(filters) - _KNOWN_FILTERS:
            raise AwsError("InvalidParameterValue", f"The filter '{min(unknown)}' is invalid")
        records = self._source.records(call.region, self._wanted(call, filters), start, end)
        kept = np.ones(len(records.at), dtype=bool)
        if patterns := filters.get("spot-price"):
            kept &= np.array([_matches(price_text(int(price)), patterns) for price in records.price], dtype=bool)
        if patterns := filters.get("timestamp"):
            kept &= np.array([_matches(timestamp(int(at)), patterns) for at in records.at], dtype=bool)
        kept &= records.at >= end - RETENTION_S
        return PriceRecords(records.pools, records.row[kept], records.at[kept], records.price[kept])

    def _wanted(self, call: Call, filters: dict[str, tuple[str, ...]]) -> Wanted:
        zones = self._source.zones(call.region)
        named = [zone for zone in (call.get("AvailabilityZone"),) if zone]
        by_id = [zone for zone in (call.get("AvailabilityZoneId"),) if zone]
        chosen = [
            name
            for name, zone_id in zones.items()
            if (not named or name in named)
            and (not by_id or zone_id in by_id)
            and _passes(filters, "availability-zone", name)
            and _passes(filters, "availability-zone-id", zone_id)
        ]
        return Wanted(
            _chosen(
                call.several("InstanceType"), filters.get("instance-type"), lambda: self._source.kinds(call.region)
            ),
            _chosen(_plain(call.several("ProductDescription")), filters.get("product-description"), _every_product),
            None if len(chosen) == len(zones) else frozenset(chosen),
        )


def _every_product() -> tuple[str, ...]:
    return ("Linux/UNIX", "Red Hat Enterprise Linux", "SUSE Linux", "Windows")


def _plain(products: tuple[str, ...]) -> tuple[str, ...]:
    """Products without the old mark of VPC prices, which are the only ones today."""
    return tuple(product.removesuffix(" (Amazon VPC)") for product in products)


def _chosen(
    named: tuple[str, ...], patterns: tuple[str, ...] | None, everything: "Callable[[], object]"
) -> frozenset[str] | None:
    if patterns is None:
        return frozenset(named) or None
    known = [str(name) for name in everything()]  # type: ignore[attr-defined]
    return frozenset(name for name in (named or known) if _matches(name, patterns))


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _passes(filters: dict[str, tuple[str, ...]], name: str, text: str) -> bool:
    return name not in filters or _matches(text, filters[name])


def _window(call: Call, now: int) -> tuple[int, int]:
    """The asked window in seconds, within what is kept and what has happened; an end in the future is now."""
    start, end = call.instant("StartTime"), call.instant("EndTime")
    until = min(now, int(end.timestamp())) if end is not None else now
    since = int(np.ceil(start.timestamp())) if start is not None else 0
    return max(min(since, until), now - RETENTION_S), until


def _newest_first(records: PriceRecords) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.lexsort((records.row, -records.at))


def _place(records: PriceRecords, order: np.ndarray[tuple[int], np.dtype[np.int64]], before: tuple[int, str]) -> int:
    """How many of `order` come up to and including the record a token names."""
    at, pool_id = before
    row = next((n for n, pool in enumerate(records.pools) if pool.pool_id == pool_id), -1)
    if row < 0:
        raise AwsError("InvalidParameterValue", "The NextToken does not belong to this request.")
    times, rows = records.at[order], records.row[order]
    return int(np.count_nonzero((times > at) | ((times == at) & (rows <= row))))


def _token(records: PriceRecords, last: int, end: int) -> str:
    text = json.dumps([int(records.at[last]), records.pools[int(records.row[last])].pool_id, end])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str) -> tuple[tuple[int, str], int]:
    try:
        at, pool_id, end = json.loads(base64.urlsafe_b64decode(token))
        return (int(at), str(pool_id)), int(end)
    except (ValueError, TypeError, binascii.Error) as error:
        raise AwsError("InvalidNextToken", f"The token '{token[:40]}' is invalid") from error


def price_text(micro: int) -> str:
    """USD with six decimals, as EC2 writes them."""
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"


def _rows(records: PriceRecords, shown: np.ndarray[tuple[int], np.dtype[np.int64]], zones: dict[str, str]) -> str:
    heads: dict[int, str] = {}
    parts: list[str] = []
    for row, at, price in zip(
        records.row[shown].tolist(), records.at[shown].tolist(), records.price[shown].tolist(), strict=True
    ):
        if row not in heads:
            heads[row] = _head(records.pools[row], zones)
        parts.append(
            f"<item>{heads[row]}<spotPrice>{price_text(price)}</spotPrice><timestamp>{timestamp(at)}</timestamp></item>"
        )
    return f"<spotPriceHistorySet>{''.join(parts)}</spotPriceHistorySet>"


def _head(pool: Pool, zones: dict[str, str]) -> str:
    return tags(
        instanceType=pool.instance_type,
        productDescription=pool.product,
        availabilityZone=pool.zone,
        availabilityZoneId=zones.get(pool.zone, ""),
    )
