"""Which features an uploaded model heeds, where it does not say so itself: tried on the author's own sample."""

from collections.abc import Sequence

import structlog

from engines.sandbox_limits import USUAL, Confinement
from services.errors import ModelError, Unavailable
from services.models.confined_scorer import ConfinedModel, ConfinedScorer
from services.models.permutation import ImportanceFrom, Row, permutation_importance
from services.models.quarantine import Quarantine
from services.models.scorer import Scorer
from services.models.treelite_scorer import TreeliteScorer

TIMEOUT_S = 10.0  # for one feature; a model that is slower has no importance
_log = structlog.get_logger(__name__)


def tried_importance(
    model: ConfinedModel, compiled: bytes, sample: Sequence[Row], confinement: Confinement = USUAL
) -> tuple[dict[str, float], ImportanceFrom] | None:
    """See `permutation_importance`; a model that is not compiled is scored in its confined child.

    None, too, when the model does not bear it: that is no reason to refuse an upload.
    """
    if not sample:
        return None
    try:
        scorer: Scorer = (
            TreeliteScorer.from_bytes(compiled)
            if compiled
            else ConfinedScorer(model, Quarantine(), TIMEOUT_S, confinement)
        )
    except (ModelError, Unavailable, ValueError) as error:
        _log.warning("importance_not_tried", model_id=model.model_id, error=str(error)[:400])
        return None
    try:
        return permutation_importance(scorer.score, model.features, sample)
    except (ModelError, Unavailable, ValueError) as error:
        _log.warning("importance_not_tried", model_id=model.model_id, error=str(error)[:400])
        return None
    finally:
        scorer.close()
