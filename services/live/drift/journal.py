"""What drift keeps in the store: how far each model's runs have come, its windows, and the alerts."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from services.errors import RevisionConflict
from services.live.drift.errors import DriftAlertNotFound
from services.live.drift.figures import FeatureDrift
from services.live.drift.reference import Reference
from services.live.drift.verdict import Kind, Verdict
from services.store.protocol import Lease, Store

STATE = "drift"
REFERENCE = "drift_reference"
WINDOW = "drift_window"
ALERT = "drift_alert"
ACKNOWLEDGED = "drift_acknowledged"
WINDOWS_KEPT = 200
ALERTS_KEPT = 1000


class State(BaseModel):
    """How far a model's runs have come; survives restarts."""

    model_config = ConfigDict(frozen=True)

    runs: dict[str, int] = Field(default_factory=dict)  # feature → windows running in which it drifted
    collector_run: int = 0
    skill_run: int = 0
    kind_run: int = 0  # windows running with the verdict `kind`
    kind: Kind | None = None
    open_alert: str | None = None
    prices: dict[str, float] = Field(default_factory=dict)  # of each pool when nothing had drifted yet, USD per hour
    on_demand: dict[str, float] = Field(default_factory=dict)
    least_imputed: float | None = None

    @property
    def longest(self) -> int:
        """The longest of the runs."""
        return max([*self.runs.values(), self.collector_run, self.skill_run], default=0)


class Acknowledgement(BaseModel):
    """Who has seen an alert, and when."""

    model_config = ConfigDict(frozen=True)

    by: str
    at: datetime
    note: str = ""


class Alert(BaseModel):
    """One alert; it lasts until a window shows nothing any more (`ended_at`)."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    alert_id: str
    model_id: str
    task: str
    kind: Kind
    sentence: str
    raised_at: datetime
    last_window_end: datetime
    windows: int
    reference: str | None
    features: list[dict[str, Any]]
    evidence: dict[str, Any]
    ended_at: datetime | None = None
    acknowledged: Acknowledgement | None = None


class DriftJournal:
    """Reads and writes all of it. The loop gives its lease, with which its writes are fenced."""

    def __init__(self, store: Store, lease: Lease | None = None) -> None:
        self._store = store
        self._lease = lease

    # The loop's side

    def state(self, model_id: str) -> State:
        """Where a model stands; a fresh one for a model never looked at."""
        found = self._store.get(STATE, model_id)
        return State.model_validate(found.value) if found else State()

    def keep_state(self, model_id: str, state: State) -> None:
        """Replace it."""
        self._store.put(STATE, model_id, state.model_dump(mode="json"), fence=self._lease)

    def reference(self, model_id: str) -> Reference | None:
        """The gap's first week, as it was when it was first compared with."""
        found = self._store.get(REFERENCE, model_id)
        return Reference.restored(found.value) if found else None

    def keep_reference(self, model_id: str, reference: Reference) -> None:
        """Keep it for good: history forgets in time."""
        self._store.put(REFERENCE, model_id, reference.stored(), fence=self._lease)

    def add_window(
        self, model_id: str, end: datetime, figures: list[FeatureDrift], verdict: Verdict | None, told: dict[str, Any]
    ) -> None:
        """One window's figures; the oldest beyond what is kept go."""
        value = {
            "model_id": model_id,
            "end": stamp(end),
            "features": [asdict(figure) for figure in figures],
            "verdict": verdict.kind if verdict else None,
            "sentence": verdict.sentence if verdict else None,
            **told,
        }
        self._store.put(WINDOW, f"{model_id}/{stamp(end)}", value, fence=self._lease)
        kept = self._store.find(WINDOW, prefix=f"{model_id}/", newest_first=True, limit=WINDOWS_KEPT + 50)
        for old in kept[WINDOWS_KEPT:]:
            self._store.delete(WINDOW, old.key, fence=self._lease)

    def raise_alert(self, alert: Alert) -> None:
        """Keep a new alert, or an open one's newest state."""
        self._store.put(
            ALERT, alert.alert_id, alert.model_dump(mode="json", exclude={"acknowledged"}), fence=self._lease
        )

    def trim(self) -> None:
        """Forget the oldest alerts beyond what is kept."""
        for old in self._store.find(ALERT, newest_first=True, limit=ALERTS_KEPT + 100)[ALERTS_KEPT:]:
            self._store.delete(ALERT, old.key, fence=self._lease)
            self._store.delete(ACKNOWLEDGED, old.key, fence=self._lease)

    # Everybody's

    def models(self) -> list[str]:
        """The models that were ever looked at."""
        return [document.key for document in self._store.find(STATE, limit=ALERTS_KEPT)]

    def windows(self, model_id: str, limit: int) -> list[dict[str, Any]]:
        """A model's windows, newest first."""
        found = self._store.find(WINDOW, prefix=f"{model_id}/", newest_first=True, limit=limit)
        return [document.value for document in found]

    def alert(self, alert_id: str) -> Alert:
        """One alert; raises `DriftAlertNotFound`."""
        found = self._store.get(ALERT, alert_id)
        if found is None:
            raise DriftAlertNotFound(alert_id)
        seen = self._store.get(ACKNOWLEDGED, alert_id)
        acknowledged = Acknowledgement.model_validate(seen.value) if seen else None
        return Alert.model_validate({**found.value, "acknowledged": acknowledged})

    def alerts(self, model_id: str | None, limit: int, *, only_open: bool = False) -> list[Alert]:
        """Alerts, newest first."""
        found: list[Alert] = []
        for document in self._store.find(ALERT, newest_first=True, limit=ALERTS_KEPT + 100):
            if model_id not in (None, document.value["model_id"]) or (only_open and document.value["ended_at"]):
                continue
            found.append(self.alert(document.key))
            if len(found) == limit:
                break
        return found

    def acknowledge(self, alert_id: str, by: str, note: str, at: datetime) -> Alert:
        """Say that somebody has seen it; who was first stays. Raises `DriftAlertNotFound`."""
        alert = self.alert(alert_id)
        if alert.acknowledged is None:
            value = Acknowledgement(by=by, at=at, note=note).model_dump(mode="json")
            try:
                self._store.put(ACKNOWLEDGED, alert_id, value, expected=0)
            except RevisionConflict:
                return self.alert(alert_id)
        return self.alert(alert_id)


def stamp(at: datetime) -> str:
    """An instant as text that sorts by time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_alert_id() -> str:
    """Ids sort by time."""
    return str(ULID())
