"""What can go wrong in the server's own rooms; none of it knows HTTP.

ServerError
├── SettingsInvalid              a setting has a value the server cannot start with
├── DataDirectoryInUse           another server holds the data directory
├── MarketMismatch               the data belong to another market
├── StoreError
│   ├── RevisionConflict         somebody else wrote first
│   ├── LeaseLost                the right to write has passed on
│   ├── StoreTooNew              written by a newer release
│   └── StoreUnavailable         the server behind the store does not answer
├── ModelError
│   ├── ModelNotFound            no such model version
│   ├── ModelExists              this name and version are taken
│   ├── ModelInUse               it is active, so it cannot be deleted
│   ├── ModelRefused             the file is not a model we let in
│   ├── NoActiveModel            nothing is active for the task
│   └── ModelUnavailable         it was let in, but cannot answer now
│       ├── ModelTimedOut        it did not answer within its time
│       ├── ModelCrashed         its process ended while it was asked
│       ├── ModelResting         it broke down, and is started again in a while
│       ├── ModelQuarantined     it broke down too often in a row
│       └── ModelBusy            as many as may already wait for it
├── PoolUnknown                  no tracked pool matches
├── ClusterUnknown               no such cluster
├── DataStale                    the newest data is older than allowed
├── RequestInvalid               a field has a value that cannot be meant
├── Unauthenticated              no valid credentials
├── Forbidden                    a valid key whose role does not reach
├── TooManyRequests              a key's or an address's limit is used up
├── TooLarge                     a body over its limit
└── Unavailable                  a part of the server is not ready
"""

from datetime import datetime


class ServerError(Exception):
    """The root of this tree."""


class SettingsInvalid(ServerError):
    """`name` cannot be `value`; `advice` says what it may be."""

    def __init__(self, name: str, value: str, advice: str) -> None:
        super().__init__(name, value, advice)
        self.name = name
        self.value = value
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: {self.advice}"


class DataDirectoryInUse(ServerError):
    """`path` is locked by the process `pid` (0 when unknown)."""

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(path, pid)
        self.path = path
        self.pid = pid


class MarketMismatch(ServerError):
    """`where` (a data directory or a store) holds data of the market `found`; this server speaks to `expected`."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(where, found, expected)
        self.where = where
        self.found = found
        self.expected = expected


class StoreError(ServerError):
    """The root of the store's errors."""


class RevisionConflict(StoreError):
    """(kind, key) has revision `found`, not `expected`."""

    def __init__(self, kind: str, key: str, expected: int, found: int) -> None:
        super().__init__(kind, key, expected, found)
        self.kind = kind
        self.key = key
        self.expected = expected
        self.found = found


class LeaseLost(StoreError):
    """The lease `name` was held with generation `held`; the current one is `current`."""

    def __init__(self, name: str, held: int, current: int) -> None:
        super().__init__(name, held, current)
        self.name = name
        self.held = held
        self.current = current


class StoreTooNew(StoreError):
    """The store has schema version `found`; this release knows up to `known`."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(found, known)
        self.found = found
        self.known = known


class StoreUnavailable(StoreError):
    """The server behind the store does not answer; `detail` has its words, never its password."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ModelError(ServerError):
    """The root of the models' errors."""


class ModelNotFound(ModelError):
    """No version `model_id`; `nearest` are ids that look like it."""

    def __init__(self, model_id: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(model_id, nearest)
        self.model_id = model_id
        self.nearest = nearest


class ModelExists(ModelError):
    """`model_id` was uploaded before; versions are never overwritten."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.model_id = model_id


class ModelInUse(ModelError):
    """`model_id` cannot go; `used_as` says why."""

    def __init__(self, model_id: str, used_as: str) -> None:
        super().__init__(model_id, used_as)
        self.model_id = model_id
        self.used_as = used_as


class ModelRefused(ModelError):
    """An uploaded file was not let in.

    `code` is stable (for instance `type-not-permitted`, `unknown-feature`, `not-an-estimator`, `unreadable`),
    `detail` says what is wrong, `advice` what its author can do.
    """

    def __init__(self, code: str, detail: str, advice: str) -> None:
        super().__init__(code, detail, advice)
        self.code = code
        self.detail = detail
        self.advice = advice


class NoActiveModel(ModelError):
    """No model version is active for `task`."""

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task


class ModelUnavailable(ModelError):
    """The root of why a confined model `model_id` has no answer; other models are not touched by it."""

    def __init__(self, model_id: str, *more: object) -> None:
        super().__init__(model_id, *more)
        self.model_id = model_id


class ModelTimedOut(ModelUnavailable):
    """It did not answer within `seconds`, and its process was killed."""

    def __init__(self, model_id: str, seconds: float) -> None:
        super().__init__(model_id, seconds)
        self.seconds = seconds


class ModelCrashed(ModelUnavailable):
    """Its process ended, or answered what no model may; `how` says which."""

    def __init__(self, model_id: str, how: str) -> None:
        super().__init__(model_id, how)
        self.how = how


class ModelResting(ModelUnavailable):
    """It broke down `crashes` times in a row and is started again in `seconds`."""

    def __init__(self, model_id: str, crashes: int, seconds: float) -> None:
        super().__init__(model_id, crashes, seconds)
        self.crashes = crashes
        self.seconds = seconds


class ModelQuarantined(ModelUnavailable):
    """It broke down `crashes` times in a row and is kept out until it is activated anew."""

    def __init__(self, model_id: str, crashes: int) -> None:
        super().__init__(model_id, crashes)
        self.crashes = crashes


class ModelBusy(ModelUnavailable):
    """`waiting` requests wait for it already."""

    def __init__(self, model_id: str, waiting: int) -> None:
        super().__init__(model_id, waiting)
        self.waiting = waiting


class PoolUnknown(ServerError):
    """No tracked pool matches `asked`; `advice` says how it would be."""

    def __init__(self, asked: str, advice: str) -> None:
        super().__init__(asked, advice)
        self.asked = asked
        self.advice = advice


class ClusterUnknown(ServerError):
    """No cluster `cluster_id` is registered."""

    def __init__(self, cluster_id: str) -> None:
        super().__init__(cluster_id)
        self.cluster_id = cluster_id


class DataStale(ServerError):
    """The newest data is of `data_as_of` (None: there is none yet), older than `allowed_s` seconds."""

    def __init__(self, data_as_of: datetime | None, allowed_s: float) -> None:
        super().__init__(data_as_of, allowed_s)
        self.data_as_of = data_as_of
        self.allowed_s = allowed_s


class RequestInvalid(ServerError):
    """The value of `field` cannot be meant; `detail` says what is wrong, `advice` what to send."""

    def __init__(self, field: str, detail: str, advice: str) -> None:
        super().__init__(field, detail, advice)
        self.field = field
        self.detail = detail
        self.advice = advice


class Unauthenticated(ServerError):
    """No valid credentials; `detail` never repeats what was sent."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Forbidden(ServerError):
    """The key's role is `role`; this needs `needed`."""

    def __init__(self, role: str, needed: str) -> None:
        super().__init__(role, needed)
        self.role = role
        self.needed = needed


class TooManyRequests(ServerError):
    """Try again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class TooLarge(ServerError):
    """A body is over `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class Unavailable(ServerError):
    """`part` of the server is not ready; `detail` says what it waits for."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(part, detail)
        self.part = part
        self.detail = detail
