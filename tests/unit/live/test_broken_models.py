"""A confined model that has broken down takes its own predictions from a tick, and nothing else."""

import numpy as np

from services.errors import ModelTimedOut
from services.live.facts import pool_facts, score_block
from services.models.activation import Pointer
from services.models.scorer import Matrix, Scorer, Vector
from services.models.slots import Slots
from services.models.version import ModelVersion
from tests.unit.live.live_blocks import NOW, Echo, block, version


class Breaking(Echo):
    """Answers its warm-up, and nobody else."""

    def score(self, matrix: Matrix) -> Vector:
        if matrix.any():
            raise ModelTimedOut("echo:spot_interruption", 10.0)
        return np.zeros(len(matrix))


def test_the_other_task_is_predicted_all_the_same() -> None:
    broken, sound = version(task="spot_interruption"), version(task="spot_price")
    known: dict[str, tuple[Scorer, ModelVersion]] = {
        broken.model_id: (Breaking(broken.features), broken),
        sound.model_id: (Echo(sound.features), sound),
    }
    slots = Slots(known.__getitem__)
    for one in (broken, sound):
        slots.activate(Pointer(model_id=one.model_id, generation=1, activated_at=NOW, by="test", task=one.task))
    shown = block()
    scores = score_block(shown, slots)
    assert list(scores) == ["spot_price"]
    facts = pool_facts(shown, scores)
    assert facts
    assert {fact.interruption_probability for fact in facts} == {None}
    assert all(fact.predicted_price is not None for fact in facts)
