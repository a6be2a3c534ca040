"""Fills as records: a job, its shards, and the book in the store that keeps both."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field
from ulid import ULID

from gapfill.errors import JobNotFound
from gapfill.gaps import CoverageSummary
from gapfill.history import no_fence
from gapfill.plan import ShardPlan, Stretch

Status = Literal["in_progress", "completed", "failed"]
Phase = Literal["pulling", "facts", "predicting", "ended"]
Mode = Literal["fill", "missing", "predict"]
ShardState = Literal["pending", "done", "failed"]

CANCELLED = "cancelled"
_TASK_PREFIX = "gap-fill-"
_ERRORS_KEPT = 50
_ALL = 10_000_000


class Stored(Protocol):
    """A document as the store returns it."""

    @property
    def value(self) -> dict[str, Any]:
        """The JSON object."""
        ...


class Documents(Protocol):
    """What the gap filler needs of a store; see `Store` for the meaning."""

    def get(self, kind: str, key: str) -> Stored | None:
        """The document, or None."""
        ...

    def find(self, kind: str, *, prefix: str = "", limit: int = 1000, newest_first: bool = False) -> Sequence[Stored]:
        """Documents whose key starts with `prefix`, by key."""
        ...

    def put(self, kind: str, key: str, value: Mapping[str, Any]) -> int:
        """Write."""
        ...

    def next_number(self, name: str) -> int:
        """1, 2, 3, …"""
        ...


class JobError(BaseModel):
    """What went wrong in a job: in which region, in which shard (0: none in particular)."""

    region: str
    shard: int
    kind: str  # the error's class
    detail: str


class Shard(ShardPlan):
    """A shard and what became of it."""

    number: int  # from 1 within the job
    state: ShardState = "pending"
    attempts: int = 0
    records: int = 0  # distinct points in [start, end), and before it where `first`
    stored: int = 0  # of those, new to the history
    refused: int = 0
    conflicting: int = 0
    error: str = ""
    finished_at: datetime | None = None


class Job(BaseModel):
    """A fill: what was asked, how far it is, how it ended."""

    task_id: str
    ulid: str = Field(default_factory=lambda: str(ULID()))
    mode: Mode = "fill"
    status: Status = "in_progress"
    reason: str = ""
    phase: Phase = "pulling"
    requested_by: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    regions: tuple[str, ...]
    instance_types: tuple[str, ...]
    product_descriptions: tuple[str, ...]
    trained_until: date
    gap_start: datetime
    history_start: datetime  # points in [history_start, end) are pulled
    end: datetime
    unavailable: Stretch | None = None
    shards_total: int = 0
    shards_done: int = 0
    shards_failed: int = 0
    records_filled: int = 0  # distinct points pulled in range, and one carry-in per pool that has an earlier one
    records_new: int = 0  # of those, not in the history before
    records_refused: int = 0
    records_conflicting: int = 0
    predictions_total: int = 0
    predictions_made: int = 0
    percent_complete: float = 0.0
    eta_seconds: float | None = None
    coverage: CoverageSummary | None = None
    errors: list[JobError] = Field(default_factory=list)

    @property
    def number(self) -> int:
        """The n of `gap-fill-<n>`."""
        return number_of(self.task_id)

    def note(self, error: JobError) -> None:
        """Keep an error, up to a limit; repeated ones once per region and kind."""
        known = any(e.region == error.region and e.kind == error.kind and e.detail == error.detail for e in self.errors)
        if not known and len(self.errors) < _ERRORS_KEPT:
            self.errors.append(error)

    def count(self, shards: Sequence[Shard]) -> None:
        """Take the sums from the shards."""
        self.shards_total = len(shards)
        self.shards_done = sum(s.state == "done" for s in shards)
        self.shards_failed = sum(s.state == "failed" for s in shards)
        self.records_filled = sum(s.records for s in shards)
        self.records_new = sum(s.stored for s in shards)
        self.records_refused = sum(s.refused for s in shards)
        self.records_conflicting = sum(s.conflicting for s in shards)


def number_of(task_id: str) -> int:
    """The n of `gap-fill-<n>`; raises `JobNotFound` for any other text."""
    digits = task_id.removeprefix(_TASK_PREFIX)
    if not task_id.startswith(_TASK_PREFIX) or not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
        raise JobNotFound(task_id)
    return int(digits)


class JobBook:
    """Jobs and shards in the store. Only the gap filler writes it, anyone may read."""

    _JOBS = "gapfill_job"
    _PLANS = "gapfill_plan"
    _SHARDS = "gapfill_shard"

    def __init__(self, documents: Documents, fence: Callable[[], None] = no_fence) -> None:
        """`fence` is called before each write and raises `StaleWriter` for a writer that has been replaced."""
        self._documents = documents
        self._fence = fence

    def next_task_id(self) -> str:
        """`gap-fill-<n>`, never the same twice."""
        return f"{_TASK_PREFIX}{self._documents.next_number(self._JOBS)}"

    def get(self, task_id: str) -> Job:
        """The job; raises `JobNotFound`."""
        found = self._documents.get(self._JOBS, self._key(number_of(task_id)))
        if found is None:
            raise JobNotFound(task_id)
        return Job.model_validate(found.value)

    def newest(self, limit: int) -> list[Job]:
        """The last jobs, newest first."""
        found = self._documents.find(self._JOBS, limit=limit, newest_first=True)
        return [Job.model_validate(document.value) for document in found]

    def unfinished(self) -> list[Job]:
        """Jobs in progress, oldest first; they are among the last thousand."""
        return [job for job in reversed(self.newest(1000)) if job.status == "in_progress"]

    def shards(self, task_id: str) -> list[Shard]:
        """The job's shards by number: as planned, or as they ended."""
        key = self._key(number_of(task_id))
        plan = self._documents.get(self._PLANS, key)
        shards = [Shard.model_validate(one) for one in (plan.value["shards"] if plan else [])]
        for document in self._documents.find(self._SHARDS, prefix=f"{key}/", limit=_ALL):
            ended = Shard.model_validate(document.value)
            shards[ended.number - 1] = ended
        return shards

    def plan(self, task_id: str, shards: Sequence[Shard]) -> None:
        """Write all shards of a job at once, before the job itself."""
        self._fence()
        value = {"shards": [shard.model_dump(mode="json", exclude_defaults=True) for shard in shards]}
        self._documents.put(self._PLANS, self._key(number_of(task_id)), value)

    def save(self, job: Job) -> None:
        """Write the job."""
        self._fence()
        self._documents.put(self._JOBS, self._key(job.number), job.model_dump(mode="json"))

    def save_shard(self, task_id: str, shard: Shard) -> None:
        """Write a shard's checkpoint."""
        self._fence()
        key = f"{self._key(number_of(task_id))}/{shard.number:06d}"
        self._documents.put(self._SHARDS, key, shard.model_dump(mode="json"))

    @staticmethod
    def _key(number: int) -> str:
        return f"{number:012d}"
