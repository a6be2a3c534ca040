"""What can go wrong between us and the market's prices.

GapFillError
├── MarketError                  the source did not answer as needed
│   ├── MarketUnavailable        throttled, timed out, cut off: worth another try
│   ├── MarketAccessDenied       credentials refused or expired: nobody's retry helps
│   └── RegionNotEnabled         this account may not use the region
├── PriceFileInvalid             a dump that cannot be read as price points
├── UnknownPlace                 a region or an instance type nobody offers
├── FillRequestInvalid           a date or a list that cannot be meant
├── FeatureRequestInvalid        a price or a launch time that cannot be meant
├── GapUnknown                   no model says where the gap begins
├── JobNotFound                  no fill with this task id
├── JobFinished                  it can no longer be cancelled
├── HistoryMarketMismatch        the tables belong to another market
├── HistoryTooNew                the tables were written by a newer release
└── StaleWriter                  another holder has taken over the lease since
"""


class GapFillError(Exception):
    """The root of this room's errors."""


class MarketError(GapFillError):
    """The price source failed; `region` is where, `detail` is its own words."""

    def __init__(self, region: str, detail: str) -> None:
        super().__init__(region, detail)
        self.region = region
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.region}: {self.detail}"


class MarketUnavailable(MarketError):
    """Throttled, timed out or cut off after all retries."""


class MarketAccessDenied(MarketError):
    """Credentials were refused or have expired."""


class RegionNotEnabled(MarketError):
    """The account has not enabled this region."""


class PriceFileInvalid(GapFillError):
    """A dump is not what it says; `where` names the row or field, `detail` what is wrong there."""

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(where, detail)
        self.where = where
        self.detail = detail


class UnknownPlace(GapFillError):
    """`what` ("region" or "instance_type") has no `name`; `nearest` are known names that look like it."""

    def __init__(self, what: str, name: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(what, name, nearest)
        self.what = what
        self.name = name
        self.nearest = nearest


class FillRequestInvalid(GapFillError):
    """`field` of a request cannot be `value`; `advice` says what it may be."""

    def __init__(self, field: str, value: str, advice: str) -> None:
        super().__init__(field, value, advice)
        self.field = field
        self.value = value
        self.advice = advice


class FeatureRequestInvalid(GapFillError):
    """A request's `field` cannot be meant; `detail` says what is wrong, `advice` what to send."""

    def __init__(self, field: str, detail: str, advice: str) -> None:
        super().__init__(field, detail, advice)
        self.field = field
        self.detail = detail
        self.advice = advice


class GapUnknown(GapFillError):
    """No model is active, so there is no `trained_until` to fill from."""


class JobNotFound(GapFillError):
    """No fill has this `task_id`."""

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id


class JobFinished(GapFillError):
    """The fill has ended (`status`), so it cannot be cancelled."""

    def __init__(self, task_id: str, status: str) -> None:
        super().__init__(task_id, status)
        self.task_id = task_id
        self.status = status


class HistoryMarketMismatch(GapFillError):
    """The tables hold prices of `found`; this server speaks to `expected`."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected


class HistoryTooNew(GapFillError):
    """The tables have schema version `found`; this release knows up to `known`."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(found, known)
        self.found = found
        self.known = known


class StaleWriter(GapFillError):
    """A writer's lease `name` has passed to a later generation; its commit is refused."""

    def __init__(self, name: str, held: int, current: int) -> None:
        super().__init__(name, held, current)
        self.name = name
        self.held = held
        self.current = current
