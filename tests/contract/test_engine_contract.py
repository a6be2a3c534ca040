"""Every check of the engine contract against every built-in engine, and against engines that break it."""

import itertools

import pytest
from pydantic import BaseModel

from engines.builtin.cheapest_pool import CheapestPool
from engines.builtin.on_demand_only import OnDemandOnly
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.checks import (
    CHECKS,
    Check,
    CheckFailed,
    check_constraints,
    check_deterministic,
    check_explained,
    check_finite,
    check_identity,
    check_rejects_aloud,
)
from engines.contract import Action, ClusterDecision, DecisionEngine, DecisionInput, DecisionOutput, Savings


@pytest.mark.parametrize("engine", [SpotOptimizerV1(), OnDemandOnly(), CheapestPool()], ids=lambda engine: engine.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_built_in_engine_keeps_the_contract(engine: DecisionEngine, check: Check) -> None:
    check(engine)


class Spoiled:
    """The optimiser with its answer spoiled: an engine that a check must catch."""

    name = "spoiled"
    version = "1"
    description = "Breaks the contract."
    Config: type[BaseModel] = SpotOptimizerV1.Config

    def __init__(self) -> None:
        self._good = SpotOptimizerV1()

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        output = self._good.decide(given)
        return output.model_copy(update={"decisions": tuple(self.spoil(d) for d in output.decisions)})

    def spoil(self, decision: ClusterDecision) -> ClusterDecision:
        return decision.model_copy(
            update={"recommendations": tuple(self.spoil_action(a) for a in decision.recommendations)}
        )

    def spoil_action(self, action: Action) -> Action:
        return action


class Nameless(Spoiled):
    version = ""


class Restless(Spoiled):
    def __init__(self) -> None:
        super().__init__()
        self._calls = itertools.count()

    def spoil_action(self, action: Action) -> Action:
        return action.model_copy(update={"rollback": f"{next(self._calls)}"})


class Reckless(Spoiled):
    """Forgets what the user forbids."""

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        free = tuple(
            cluster.model_copy(update={"constraints": type(cluster.constraints)()}) for cluster in given.clusters
        )
        return self._good.decide(given.model_copy(update={"clusters": free}))


class Silent(Spoiled):
    def spoil_action(self, action: Action) -> Action:
        return action.model_copy(update={"rejected": (), "rejected_counts": {}})


class Wordless(Spoiled):
    def spoil_action(self, action: Action) -> Action:
        reasons = tuple(reason.model_copy(update={"numbers": {}}) for reason in action.reasons)
        return action.model_copy(update={"reasons": reasons})


class Boastful(Spoiled):
    def spoil(self, decision: ClusterDecision) -> ClusterDecision:
        return decision.model_copy(update={"estimated_savings": Savings(p10=1e6, p50=1e6, p90=1e6)})


class NotANumber(Spoiled):
    def spoil_action(self, action: Action) -> Action:
        return action.model_copy(update={"score": float("nan")})


class Forgetful(Spoiled):
    def spoil(self, decision: ClusterDecision) -> ClusterDecision:
        return decision.model_copy(update={"recommendations": decision.recommendations[:-1]})


class Raising(Spoiled):
    def spoil(self, decision: ClusterDecision) -> ClusterDecision:
        raise RuntimeError(decision.cluster_id)


@pytest.mark.parametrize(
    ("engine", "check"),
    [
        (Nameless(), check_identity),
        (Restless(), check_deterministic),
        (Reckless(), check_constraints),
        (Wordless(), check_explained),
        (Silent(), check_rejects_aloud),
        (Boastful(), check_finite),
        (NotANumber(), check_finite),
        (Forgetful(), check_finite),
        (Raising(), check_finite),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Spoiled) else getattr(value, "__name__", ""),
)
def test_a_check_catches_an_engine_that_breaks_it(engine: DecisionEngine, check: Check) -> None:
    with pytest.raises(CheckFailed):
        check(engine)
