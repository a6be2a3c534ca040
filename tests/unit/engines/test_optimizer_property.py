"""A thousand random clusters: whatever is asked of the optimiser, it breaks nothing."""

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from engines import samples
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Cluster, DecisionInput, PodGroup
from engines.structure import faults
from engines.violations import violations

# How often pods wait.
_WAITING = 0.2


def cluster(random: Random) -> Cluster:
    """A random cluster of up to five nodes; now and then with pods that wait."""
    made = samples.cluster(random, most_nodes=5)
    if random.random() > _WAITING:
        return made
    pods = tuple(
        PodGroup(
            name=f"group-{i}",
            replicas=random.randint(1, 9),
            cpu=random.choice([0.0, 0.25, 1.5, 6.0]),
            memory_gib=random.choice([0.5, 3.0, 14.0, 40.0]),
            gpus=random.choice([0, 0, 0, 1]),
        )
        for i in range(random.randint(1, 3))
    )
    return made.model_copy(update={"requirements": made.requirements.model_copy(update={"pods": pods})})


@pytest.mark.timeout(600)
@settings(
    max_examples=1_000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@hypothesis_given(seed=st.integers(0, 2**64))
def test_a_thousand_random_clusters_keep_every_constraint(seed: int) -> None:
    random = Random(seed)
    known = samples.pools(random, random.choice([0, 2, 6, 14]))
    given = DecisionInput(as_of=samples.AS_OF, market_id="sim:1", clusters=(cluster(random),), pools=known)
    output = SpotOptimizerV1().decide(given)
    assert faults(given, output) == ()
    assert violations(given, output.decisions[0]) == ()
