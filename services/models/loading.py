"""From a version in the registry to a scorer that answers."""

from typing import Protocol

from engines.sandbox_limits import USUAL, Confinement
from services.errors import ModelRefused
from services.models.confined_scorer import CALL_S, ConfinedModel, ConfinedScorer
from services.models.quarantine import Quarantine
from services.models.scorer import Scorer
from services.models.shelf import Shelf
from services.models.treelite_scorer import TreeliteScorer
from services.models.version import ModelVersion


class Confined(Protocol):
    """Where a version that is not compiled is scored."""

    def __call__(self, version: ModelVersion) -> Scorer:
        """A scorer that has it loaded, or loads it at the first score; raises `ModelUnavailable`, `Unavailable`."""
        ...

    def lift(self, model_id: str) -> None:
        """Forget its breakdowns."""
        ...


class ScorerLoader:
    """Callable that `Slots` takes: model_id → (scorer, version)."""

    def __init__(self, shelf: Shelf, confined: Confined | None = None) -> None:
        """Reads from `shelf`; `confined` default: a child of this very process."""
        self._shelf = shelf
        self._confined = confined or ConfinedHere(shelf, Quarantine())

    def __call__(self, model_id: str) -> tuple[Scorer, ModelVersion]:
        """Load into this process what is compiled, and what is not behind `confined`.

        Raises `ModelNotFound`, `ModelRefused` for a compiled form that this release cannot read, and what `confined`
        raises.
        """
        version = self._shelf.get(model_id)
        if not version.compiled:
            return self._confined(version), version
        try:
            return TreeliteScorer.from_bytes(self._shelf.compiled(model_id)), version
        except ValueError as error:
            advice = "Delete this version and upload its file again; it may have been compiled by another release."
            raise ModelRefused("unreadable", f"{model_id}: {error}", advice) from error

    def lift(self, model_id: str) -> None:
        """Give a version another try, however often it has broken down; raises `ModelNotFound`."""
        if not self._shelf.get(model_id).compiled:
            self._confined.lift(model_id)


class ConfinedHere:
    """A `Confined` whose children belong to this process; raises what `ConfinedScorer` does."""

    def __init__(
        self,
        shelf: Shelf,
        quarantine: Quarantine,
        timeout_s: float = CALL_S,
        confinement: Confinement = USUAL,
    ) -> None:
        """`quarantine` outlives the scorers."""
        self._confinement = confinement
        self._shelf = shelf
        self.quarantine = quarantine
        self._timeout_s = timeout_s

    def __call__(self, version: ModelVersion) -> Scorer:
        """Start a child that has loaded the version."""
        model = ConfinedModel(version.model_id, self._shelf.artifact_path(version.model_id), version.features)
        return ConfinedScorer(model, self.quarantine, self._timeout_s, self._confinement)

    def lift(self, model_id: str) -> None:
        """See `Confined`."""
        self.quarantine.lift(model_id)
