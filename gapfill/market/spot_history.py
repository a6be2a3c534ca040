"""DescribeSpotPriceHistory: filters, carry-in, retention, and pages newest first with tokens."""

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from threading import Lock

import numpy as np

from gapfill.market.source import MarketSource, PriceRecords, Wanted
from gapfill.market.wire import AwsError, Call, tags, timestamp
from gapfill.pools import PRODUCTS, Pool

RETENTION_S = 90 * 86_400
PAGE = 1000
_KEPT_ROWS = 3_000_000
_PAGING = frozenset({"NextToken", "nextToken", "MaxResults", "maxResults"})
_KNOWN_FILTERS = {
    "availability-zone",
    "availability-zone-id",
    "instance-type",
    "product-description",
    "spot-price",
    "timestamp",
}


class _Listing:
    """Records in the order they are served: newest first, in one second by pool."""

    def __init__(self, records: PriceRecords) -> None:
        self.records = records
        self.order = np.lexsort((records.row, -records.at))
        self._ages = -records.at[self.order]
        self._rows = {pool.pool_id: row for row, pool in enumerate(records.pools)}

    def after(self, at: int, pool_id: str) -> int:
        """The place behind the record that a token names; raises AwsError when it names none of these."""
        row = self._rows.get(pool_id)
        if row is None:
            raise AwsError("InvalidParameterValue", "The NextToken does not belong to this request.")
        low, high = np.searchsorted(self._ages, -at, "left"), np.searchsorted(self._ages, -at, "right")
        same_second = self.records.row[self.order[low:high]]
        return int(low + np.searchsorted(same_second, row, "right"))


class SpotHistory:
    """Answers one action over a source.

    A token names the last record served and the moment of the first page, on which the window depends: so any page can
    be made from its token alone. What is being paged is kept, so that it need not be.
    """

    def __init__(self, source: MarketSource) -> None:
        self._source = source
        self._recent: OrderedDict[str, _Listing] = OrderedDict()
        self._lock = Lock()

    def page(self, call: Call, now: int, *, shortened: bool = False, doubled: bool = False) -> str:
        """One page's inner XML; `now` in seconds; a shortened page is half as long, a doubled one repeats a row."""
        size = call.limit(PAGE)
        token = call.get("NextToken")
        last = _read_token(token) if token else None
        first_asked = last[2] if last else now
        listing = self._listing(call, first_asked)
        begin = listing.after(last[0], last[1]) if last else 0
        end = begin + (max(1, size // 2) if shortened else size)
        shown = listing.order[begin:end]
        following = _token(listing.records, int(shown[-1]), first_asked) if end < len(listing.order) else ""
        if doubled and len(shown):
            shown = np.concatenate([shown, shown[-1:]])
        return f"{_rows(listing.records, shown, self._source.zones(call.region))}<nextToken>{following}</nextToken>"

    def _listing(self, call: Call, now: int) -> _Listing:
        asked = sorted((name, value) for name, value in call.fields.items() if name not in _PAGING)
        key = json.dumps([call.region, now, asked])
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        listing = _Listing(self._filtered(call, *_window(call, now), now - RETENTION_S))
        if len(listing.order) > PAGE // 2:
            self._keep(key, listing)
        return listing

    def _keep(self, key: str, listing: _Listing) -> None:
        with self._lock:
            self._recent[key] = listing
            while len(self._recent) > 1 and sum(len(one.order) for one in self._recent.values()) > _KEPT_ROWS:
                self._recent.popitem(last=False)

    def forget(self) -> None:
        """Drop what is kept for paging (prices were forced)."""
        with self._lock:
            self._recent.clear()

    def _filtered(self, call: Call, start: int, end: int, oldest: int) -> PriceRecords:
        filters = call.filters()
        if unknown := set(filters) - _KNOWN_FILTERS:
            raise AwsError("InvalidParameterValue", f"The filter '{min(unknown)}' is invalid")
        records = self._source.records(call.region, self._wanted(call, filters), start, end)
        kept = np.ones(len(records.at), dtype=bool)
        if patterns := filters.get("spot-price"):
            kept &= np.array([_matches(price_text(int(price)), patterns) for price in records.price], dtype=bool)
        if patterns := filters.get("timestamp"):
            kept &= np.array([_matches(timestamp(int(at)), patterns) for at in records.at], dtype=bool)
        kept &= records.at >= oldest
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
            _chosen(_plain(call.several("ProductDescription")), filters.get("product-description"), lambda: PRODUCTS),
            None if len(chosen) == len(zones) else frozenset(chosen),
        )


def _plain(products: tuple[str, ...]) -> tuple[str, ...]:
    """Products without the old mark of VPC prices, which are the only ones today."""
    return tuple(product.removesuffix(" (Amazon VPC)") for product in products)


def _chosen(
    named: tuple[str, ...], patterns: tuple[str, ...] | None, known: Callable[[], Iterable[str]]
) -> frozenset[str] | None:
    """The names that a list and a filter leave of those known; None where neither is given."""
    if patterns is None:
        return frozenset(named) or None
    return frozenset(name for name in (named or known()) if _matches(name, patterns))


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


def _token(records: PriceRecords, last: int, first_asked: int) -> str:
    text = json.dumps([int(records.at[last]), records.pools[int(records.row[last])].pool_id, first_asked])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str) -> tuple[int, str, int]:
    try:
        at, pool_id, first_asked = json.loads(base64.urlsafe_b64decode(token))
        return int(at), str(pool_id), int(first_asked)
    except (ValueError, TypeError, binascii.Error) as error:
        raise AwsError("InvalidNextToken", f"The token '{token[:40]}' is invalid") from error


def price_text(micro: int) -> str:
    """USD with six decimals, as EC2 writes them."""
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"


def _rows(records: PriceRecords, shown: np.ndarray[tuple[int], np.dtype[np.int64]], zones: dict[str, str]) -> str:
    heads: dict[int, str] = {}
    parts: list[str] = []
    rows, prices = records.row[shown].tolist(), records.price[shown].tolist()
    times = np.datetime_as_string(records.at[shown].astype("datetime64[s]")).tolist()
    for row, at, price in zip(rows, times, prices, strict=True):
        if row not in heads:
            heads[row] = _head(records.pools[row], zones)
        parts.append(
            f"<item>{heads[row]}<spotPrice>{price_text(price)}</spotPrice><timestamp>{at}.000Z</timestamp></item>"
        )
    return f"<spotPriceHistorySet>{''.join(parts)}</spotPriceHistorySet>"


def _head(pool: Pool, zones: dict[str, str]) -> str:
    return tags(
        instanceType=pool.instance_type,
        productDescription=pool.product,
        availabilityZone=pool.zone,
        availabilityZoneId=zones.get(pool.zone, ""),
    )
