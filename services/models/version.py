"""A model version: what the registry knows about one uploaded model."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.models.permutation import ImportanceFrom

Task = Literal["spot_interruption", "spot_price"]
TASKS: tuple[Task, ...] = ("spot_interruption", "spot_price")

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"


class FeatureRange(BaseModel):
    """The range of one feature in the sample that the model's author sent along, and its median."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    median: float


class ModelMetadata(BaseModel):
    """What the author says of the model, as sent with the upload (`metadata`, JSON)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task = "spot_interruption"
    horizon_hours: int = Field(default=1, ge=1, le=168)
    features: tuple[str, ...] | None = None  # None: the names that the estimator was fitted with
    metrics: dict[str, float] = Field(default_factory=dict)
    description: str = Field(default="", max_length=2000)
    reference_sample: list[dict[str, float | None]] = Field(default_factory=list, max_length=10_000)


class ModelVersion(BaseModel):
    """One version as the registry keeps it."""

    model_config = ConfigDict(frozen=True)

    model_id: str  # name:version, lower case
    name: str
    version: str
    task: Task
    horizon_hours: int
    features: tuple[str, ...]
    trained_until: date
    uploaded_at: datetime
    uploaded_by: str
    sha256: str
    size_bytes: int
    filename: str  # display text only
    format: Literal["pickle", "joblib", "skops", "onnx"]
    estimator: str  # the class, module and name
    compiled: bool  # whether a treelite form is kept beside the file
    description: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    feature_importance: dict[str, float] = Field(default_factory=dict)  # shares that sum to 1
    importance_from: ImportanceFrom | None = None  # None: not known
    feature_ranges: dict[str, FeatureRange] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)  # name → version it was made with, where known

    @property
    def knows_until(self) -> datetime:
        """The first instant after the data it was trained on: the end of its `trained_until` day, UTC."""
        return datetime.combine(self.trained_until + timedelta(days=1), time.min, UTC)

    def row(self) -> dict[str, Any]:
        """The JSON form of the lists and details."""
        return self.model_dump(mode="json")
