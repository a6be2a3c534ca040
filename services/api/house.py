"""What the routers delegate to: plain objects of this process, and ports to the parts that may live in another one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from engines.catalogue import Catalogue, EngineEntry
from engines.contract import DecisionInput, DecisionOutput
from engines.intake import EngineOrder
from gapfill.history import History
from gapfill.jobs import Job, JobBook
from gapfill.plan import Analysis
from gapfill.requests import FillRequest
from services.audit import Audit
from services.keys import Keys
from services.limits import FailedSignIns, Rate
from services.live.board import FeatureBoard
from services.live.clusters import Clusters
from services.live.decided import Decided
from services.live.deciding import DecisionDiary
from services.live.engine_swaps import EngineReplicas, EngineSwaps
from services.live.experiments.room import ExperimentRoom
from services.live.feed import Feed
from services.live.inference import Inference
from services.live.latest import Latest
from services.live.ledger.skill import SkillBoard
from services.live.ledger.spool import Spool
from services.live.named_models import NamedModels
from services.live.selection import EngineSelection
from services.live.tracking import Tracked
from services.models.activation import Activations
from services.models.registry import Registry
from services.models.slots import Slots
from services.models.staging import Staged
from services.models.swapping import Swaps
from services.models.version import ModelMetadata, ModelVersion
from services.sessions import Sessions
from services.settings import Settings
from services.store.protocol import Store
from services.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class UploadOrder:
    """What comes with an uploaded model file."""

    name: str
    version: str
    trained_until: date
    metadata: ModelMetadata
    uploaded_by: str
    filename: str


class ModelDesk(Protocol):
    """The one writer of the model registry."""

    async def admit(self, staged: Staged, order: UploadOrder) -> ModelVersion:
        """Examine and keep a staged file; raises what `Intake.admit` raises."""
        ...

    async def delete(self, model_id: str) -> None:
        """Remove a version; raises `ModelNotFound`."""
        ...


class DecisionDesk(EngineReplicas, Protocol):
    """Where the selected engine decides, and where uploaded ones are checked and tried."""

    async def decide(self, given: DecisionInput) -> DecisionOutput:
        """One decision per cluster; raises `EngineNotSelected`, and `EngineFailed` when nothing can stand in either."""
        ...

    async def admit(self, text: bytes, order: EngineOrder) -> EngineEntry:
        """Check an engine's file and keep it; raises `EngineRefused`, `EngineExists`, `EngineFailed`."""
        ...

    async def test(self, engine_id: str, config: dict[str, Any], given: DecisionInput) -> dict[str, Any]:
        """What an engine answers and what the active one does; raises `EngineNotFound`, `EngineConfigInvalid`."""
        ...


class GapDesk(Protocol):
    """The gap filler; every method raises what `GapFiller`'s of the same name raises."""

    async def analyze(self, request: FillRequest) -> Analysis:
        """What a fill would do."""
        ...

    async def submit(self, request: FillRequest, requested_by: str) -> Job:
        """Order a fill."""
        ...

    async def cancel(self, task_id: str) -> Job:
        """End a fill."""
        ...

    async def retry(self, task_id: str) -> Job:
        """Take up the failed shards of a fill again."""
        ...

    async def ensure_filled(self) -> Job | None:
        """Fill what is missing for the active models."""
        ...

    async def import_file(self, path: Path, label: str) -> dict[str, int]:
        """Store the points of a dump: counts of stored, present and refused ones."""
        ...

    async def places(self) -> dict[str, list[str]]:
        """Region → instance types it offers."""
        ...


# Part of the server → (whether it is ready, what it says of itself).
Health = Callable[[], Awaitable[dict[str, tuple[bool, str]]]]


@dataclass(frozen=True)
class House:
    """Everything a router may touch."""

    settings: Settings
    store: Store
    keys: Keys
    sessions: Sessions
    audit: Audit
    rate: Rate
    failed_sign_ins: FailedSignIns
    metrics: Metrics
    registry: Registry
    activations: Activations
    slots: Slots
    swaps: Swaps
    experiments: ExperimentRoom
    board: FeatureBoard
    inference: Inference
    spool: Spool
    skills: SkillBoard
    feed: Feed
    latest: Latest
    clusters: Clusters
    diary: DecisionDiary
    tracked: Tracked
    catalogue: Catalogue
    selection: EngineSelection
    engine_swaps: EngineSwaps
    named_models: NamedModels
    decided: Decided
    history: History
    jobs: JobBook
    models: ModelDesk
    decisions: DecisionDesk
    gaps: GapDesk
    health: Health
    exposition: Callable[[], Awaitable[bytes]]
    facts: dict[str, Any]
