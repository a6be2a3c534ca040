"""From a version in the registry to a scorer that answers."""

from services.errors import ModelRefused
from services.models.confined_scorer import ConfinedScorer
from services.models.scorer import Scorer
from services.models.shelf import Shelf
from services.models.treelite_scorer import TreeliteScorer
from services.models.version import ModelVersion


class ScorerLoader:
    """Callable that `Slots` takes: model_id → (scorer, version)."""

    def __init__(self, shelf: Shelf) -> None:
        """Reads from `shelf`."""
        self._shelf = shelf

    def __call__(self, model_id: str) -> tuple[Scorer, ModelVersion]:
        """Load into this process, or into a confined child what is not compiled.

        Raises `ModelNotFound`, `ModelRefused` for a compiled form that this release cannot read, or `Unavailable`
        when the child does not start.
        """
        version = self._shelf.get(model_id)
        if not version.compiled:
            return ConfinedScorer(self._shelf.artifact_path(model_id), version.features), version
        try:
            return TreeliteScorer.from_bytes(self._shelf.compiled(model_id)), version
        except ValueError as error:
            advice = "Delete this version and upload its file again; it may have been compiled by another release."
            raise ModelRefused("unreadable", f"{model_id}: {error}", advice) from error
