"""What every decision engine must keep, as checks that run: each takes an engine and raises CheckFailed.

They run on the server's side of the wall: of an uploaded engine they see the answers of its confined child.
"""

import functools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from engines import samples
from engines.canonical import canonical
from engines.contract import DecisionEngine, DecisionInput, DecisionOutput
from engines.errors import EngineFailed
from engines.structure import faults
from engines.subjects import CheckFailed, InProcess, Remembering, Subject
from engines.violations import violations

__all__ = ["CHECKS", "Check", "CheckFailed", "Outcome", "decide", "run_all"]

TIME_LIMIT_S = 5.0

_RANDOM_INPUTS = 25
_SEED = 20_260_115


Engine = DecisionEngine | Subject
Check = Callable[[Engine], None]


def check_identity(engine: Engine) -> None:
    """It has a name, a version, a description, and a config whose every field has a default and a description."""
    about = _subject(engine).about
    if not all(about.texts):
        raise CheckFailed("the engine", "name, version or description is empty")
    required = about.config_schema.get("required", ())
    for name, field in about.config_schema.get("properties", {}).items():
        if name in required or not (isinstance(field, dict) and field.get("description")):
            raise CheckFailed("Config", f"{name} has no default or no description")
    json.dumps(about.config_defaults)


def check_deterministic(engine: Engine) -> None:
    """The same input gives the same output, byte for byte, and is not changed."""
    for where, given in _inputs():
        before = canonical(given)
        first, second = decide(engine, where, given), _fresh(_subject(engine), where, given)
        if first.model_dump_json() != second.model_dump_json():
            raise CheckFailed(where, "two calls gave two answers")
        if canonical(given) != before:
            raise CheckFailed(where, "it changed its input")


def check_constraints(engine: Engine) -> None:
    """It breaks no constraint, touches no node that must be left alone, and whatever moves still fits."""
    for where, given in _inputs():
        for decision in decide(engine, where, given).decisions:
            if broken := violations(given, decision):
                raise CheckFailed(f"{where}, {decision.cluster_id}", "; ".join(broken))


def check_explained(engine: Engine) -> None:
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


def check_rejects_aloud(engine: Engine) -> None:
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


def check_finite(engine: Engine) -> None:
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


def check_order(engine: Engine) -> None:
    """The answer does not depend on which other clusters are asked about."""
    for where, given in _inputs():
        together = decide(engine, where, given).decisions
        for cluster, decision in zip(given.clusters, together, strict=True):
            question = given.model_copy(update={"clusters": (cluster,)})
            alone = decide(engine, f"{where}, {cluster.cluster_id} alone", question).decisions[0]
            if alone != decision:
                raise CheckFailed(where, f"{cluster.cluster_id} is decided otherwise alone")


def check_time(engine: Engine) -> None:
    """It answers every input within its time limit, what other processes take of the processor not counted."""
    subject = _subject(engine)
    for where, given in _inputs():
        waited, began = subject.waited_s(), time.perf_counter()
        _fresh(subject, where, given)
        took = time.perf_counter() - began - (subject.waited_s() - waited)
        if took > TIME_LIMIT_S:
            raise CheckFailed(where, f"it took {took:.1f} s, and may take {TIME_LIMIT_S:g} s")


CHECKS: tuple[Check, ...] = (
    check_identity,
    check_time,
    check_deterministic,
    check_constraints,
    check_explained,
    check_rejects_aloud,
    check_finite,
    check_order,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended: `where` and `what` are empty when it passed, `seconds` is None when it was not run."""

    check: str
    promise: str
    passed: bool
    where: str = ""
    what: str = ""
    seconds: float | None = None


def run_all(subject: Subject, budget_s: float = math.inf, checks: Sequence[Check] = CHECKS) -> tuple[Outcome, ...]:
    """Run every check; those that are left when `budget_s` is used up, or the engine has been ended, are not run."""
    remembering = Remembering(subject)
    outcomes: list[Outcome] = []
    began = time.perf_counter()
    stopped = ""
    for check in checks:
        name, promise = check.__name__.removeprefix("check_"), (check.__doc__ or "").strip()
        start = time.perf_counter()
        if not stopped and start - began > budget_s:
            stopped = f"the checks before it took more than {budget_s:g} s"
        if stopped:
            outcomes.append(Outcome(name, promise, False, "", f"not run: {stopped}"))
            continue
        try:
            check(remembering)
            outcomes.append(Outcome(name, promise, True, seconds=time.perf_counter() - start))
        except CheckFailed as failure:
            outcomes.append(Outcome(name, promise, False, failure.where, failure.what, time.perf_counter() - start))
            if isinstance(failure.__cause__, EngineFailed) and failure.__cause__.kind not in ANSWERED:
                stopped = "the engine did not live through the one before"
    return tuple(outcomes)


# Kinds of failure after which an engine's process is as it was.
ANSWERED = ("raised", "no_decision", "out_of_memory")


def decide(engine: Engine, where: str, given: DecisionInput) -> DecisionOutput:
    """Return the engine's answer to `given`, parsed anew from its own JSON; raises CheckFailed when it is none."""
    subject = _subject(engine)
    if not isinstance(subject, Remembering):
        return _fresh(subject, where, given)
    if where not in subject.answers:
        subject.answers[where] = _fresh(subject, where, given)
    return subject.answers[where]


def _fresh(subject: Subject, where: str, given: DecisionInput) -> DecisionOutput:
    configured = given.model_copy(update={"config": subject.about.config_defaults})
    try:
        output = DecisionOutput.model_validate_json(subject.decide(configured).model_dump_json())
    except ValidationError as error:
        raise CheckFailed(where, f"its answer is no decision: {error}") from error
    except EngineFailed as error:
        raise CheckFailed(where, error.detail) from error
    except Exception as error:
        raise CheckFailed(where, f"it raised {type(error).__name__}: {error}") from error
    if found := faults(configured, output):
        raise CheckFailed(where, "; ".join(found))
    return output


def _subject(engine: Engine) -> Subject:
    return InProcess(cast(DecisionEngine, engine)) if hasattr(engine, "Config") else engine


@functools.cache
def _inputs() -> tuple[tuple[str, DecisionInput], ...]:
    random = (
        (f"random input {n} of seed {_SEED}", given) for n, given in enumerate(samples.inputs(_SEED, _RANDOM_INPUTS))
    )
    return (*samples.extremes().items(), *random)
