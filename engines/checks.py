"""What every decision engine must keep, as checks that run: each takes an engine and raises CheckFailed."""

import json
import math
from collections.abc import Callable, Iterator

from pydantic import ValidationError

from engines import samples
from engines.canonical import canonical
from engines.contract import DecisionEngine, DecisionInput, DecisionOutput
from engines.structure import faults
from engines.violations import violations

_RANDOM_INPUTS = 25
_SEED = 20_260_115


class CheckFailed(AssertionError):
    """An engine does not keep the contract; `where` is the input, `what` what it did."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where = where
        self.what = what


Check = Callable[[DecisionEngine], None]


def check_identity(engine: DecisionEngine) -> None:
    """It has a name, a version, a description, and a config whose every field has a default and a description."""
    if not (engine.name and engine.version and engine.description):
        raise CheckFailed("the engine", "name, version or description is empty")
    for name, field in engine.Config.model_fields.items():
        if field.is_required() or not field.description:
            raise CheckFailed("Config", f"{name} has no default or no description")
    json.dumps(engine.Config.model_json_schema())


def check_deterministic(engine: DecisionEngine) -> None:
    """The same input gives the same output, byte for byte, and is not changed."""
    for where, given in _inputs():
        before = canonical(given)
        first, second = decide(engine, where, given), decide(engine, where, given)
        if first.model_dump_json() != second.model_dump_json():
            raise CheckFailed(where, "two calls gave two answers")
        if canonical(given) != before:
            raise CheckFailed(where, "it changed its input")


def check_constraints(engine: DecisionEngine) -> None:
    """It breaks no constraint, touches no node that must be left alone, and whatever moves still fits."""
    for where, given in _inputs():
        for decision in decide(engine, where, given).decisions:
            if broken := violations(given, decision):
                raise CheckFailed(f"{where}, {decision.cluster_id}", "; ".join(broken))


def check_explained(engine: DecisionEngine) -> None:
    """Each action gives numbers for its reasons, and what is not done names what bound it."""
    for where, given in _inputs():
        for decision in decide(engine, where, given).decisions:
            for action in decision.recommendations:
                if not any(reason.numbers for reason in action.reasons):
                    raise CheckFailed(where, f"{action.action_id} has no numbers behind its reasons")
                if action.type != "hold" and not action.rollback:
                    raise CheckFailed(where, f"{action.action_id} does not say how to undo it")
                if action.valid_until <= given.as_of:
                    raise CheckFailed(where, f"{action.action_id} has expired before it was given")


def check_rejects_aloud(engine: DecisionEngine) -> None:
    """Alternatives there were are counted and listed; requirements that are not met are a conflict."""
    for where, given in _inputs():
        for cluster, decision in zip(given.clusters, decide(engine, where, given).decisions, strict=True):
            for action in decision.recommendations:
                listed = {rejected.constraint for rejected in action.rejected}
                if listed != set(action.rejected_counts):
                    raise CheckFailed(where, f"{action.action_id} lists {listed}, counts {action.rejected_counts}")
                if action.type == "hold" and given.pools and not listed:
                    raise CheckFailed(where, f"{action.action_id} holds, and says nothing of the alternatives")
            nothing = not cluster.nodes and not decision.recommendations
            if cluster.requirements.vcpu and nothing and not decision.conflicts:
                raise CheckFailed(where, "nothing was found for a fresh cluster, and no conflict is named")


def check_finite(engine: DecisionEngine) -> None:
    """Every number is finite, percentiles are in order, and the total is the sum of its parts."""
    for where, given in _inputs():
        for decision in decide(engine, where, given).decisions:
            parts = [action.savings for action in decision.recommendations]
            for saved in (*parts, decision.estimated_savings):
                if not saved.p10 - 1e-9 <= saved.p50 <= saved.p90 + 1e-9:
                    raise CheckFailed(where, f"percentiles are out of order: {saved}")
            whole, summed = decision.estimated_savings.p50, math.fsum(part.p50 for part in parts)
            if not math.isclose(whole, summed, rel_tol=1e-9, abs_tol=1e-9):
                raise CheckFailed(where, f"{whole} is not the sum of the actions' savings, {summed}")


def check_order(engine: DecisionEngine) -> None:
    """The answer does not depend on which other clusters are asked about."""
    for where, given in _inputs():
        together = decide(engine, where, given).decisions
        for cluster, decision in zip(given.clusters, together, strict=True):
            alone = decide(engine, where, given.model_copy(update={"clusters": (cluster,)})).decisions[0]
            if alone != decision:
                raise CheckFailed(where, f"{cluster.cluster_id} is decided otherwise alone")


CHECKS: tuple[Check, ...] = (
    check_identity,
    check_deterministic,
    check_constraints,
    check_explained,
    check_rejects_aloud,
    check_finite,
    check_order,
)


def decide(engine: DecisionEngine, where: str, given: DecisionInput) -> DecisionOutput:
    """Return the engine's answer to `given`, parsed anew from its own JSON; raises CheckFailed when it is none."""
    configured = given.model_copy(update={"config": engine.Config().model_dump(mode="json")})
    try:
        output = DecisionOutput.model_validate_json(engine.decide(configured).model_dump_json())
    except ValidationError as error:
        raise CheckFailed(where, f"its answer is no decision: {error}") from error
    except Exception as error:
        raise CheckFailed(where, f"it raised {type(error).__name__}: {error}") from error
    if found := faults(configured, output):
        raise CheckFailed(where, "; ".join(found))
    return output


def _inputs() -> Iterator[tuple[str, DecisionInput]]:
    yield from samples.extremes().items()
    for number, given in enumerate(samples.inputs(_SEED, _RANDOM_INPUTS)):
        yield f"random input {number} of seed {_SEED}", given
