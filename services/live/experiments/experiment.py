"""An experiment as it is kept: its arms, their weights, who changed what, and how it ended."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.live.experiments.split import Runs, Split
from services.models.version import Task

Kind = Literal["ab", "shadow"]
Status = Literal["running", "promoted", "aborted", "rolled_back"]
ArmName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")]
MOST_ARMS = 8
CHANGES_KEPT = 200


class Arm(BaseModel):
    """One version in an experiment; `weight` is its share of the pools in 10,000ths (0 in the shadow)."""

    model_config = ConfigDict(frozen=True)

    arm: ArmName
    model_id: str
    weight: int


class GuardRule(BaseModel):
    """When a challenger is taken out of service without anybody being asked; None switches a rule off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_requests: int = Field(
        default=200, ge=20, le=1_000_000, description="Answers of an arm, of late, before it is judged"
    )
    max_error_rate: float | None = Field(
        default=0.02, ge=0, lt=1, description="Surely (95 %) more of its answers of the last 5 minutes failed"
    )
    max_latency_ratio: float | None = Field(
        default=5.0, ge=1, le=1000, description="Its p95 over the control's, of the last 5 minutes"
    )
    latency_floor_ms: float = Field(default=10.0, ge=0, le=60_000, description="A p95 up to this is never too slow")
    max_skill_loss: float | None = Field(
        default=0.02, ge=0, le=2, description="Its skill lies surely (95 %) further than this below the control's"
    )


class Change(BaseModel):
    """One line of an experiment's history."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    by: str
    what: Literal["started", "weights_changed", "promoting", "promoted", "aborted", "rolled_back"]
    reason: str = ""
    weights: dict[str, int] = Field(default_factory=dict)


class Experiment(BaseModel):
    """Arms in order, the first is the control: the version that was active when it began."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    experiment_id: str
    task: Task
    kind: Kind
    description: str = ""
    horizon_hours: int
    arms: tuple[Arm, ...]
    runs: Runs
    guard: GuardRule | None = None
    status: Status = "running"
    started_at: datetime
    started_by: str
    ended_at: datetime | None = None
    ended_by: str | None = None
    reason: str = ""
    winner: str | None = None  # the arm that was promoted
    history: tuple[Change, ...] = ()

    @property
    def control(self) -> Arm:
        """The version that the others are held against."""
        return self.arms[0]

    @property
    def split(self) -> Split:
        """Who owns which bucket."""
        return Split.from_runs(self.experiment_id, self.runs)

    @property
    def weights(self) -> dict[str, int]:
        """Arm → 10,000ths."""
        return {arm.arm: arm.weight for arm in self.arms}

    def arm(self, name: str) -> Arm | None:
        """The arm of a name."""
        return next((arm for arm in self.arms if arm.arm == name), None)

    def noted(self, change: Change) -> "Experiment":
        """With one more line of history; the first stays, of the others the newest."""
        lines = (*self.history, change)
        if len(lines) > CHANGES_KEPT:
            lines = (lines[0], *lines[1 - CHANGES_KEPT :])
        return self.model_copy(update={"history": lines})
