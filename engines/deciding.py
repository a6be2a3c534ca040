"""One decision by one opened engine: asked, validated, and held against the constraints."""

from pydantic import ValidationError

from engines.canonical import canonical, digest, identified
from engines.catalogue import OpenedEngine
from engines.contract import DecisionInput, DecisionOutput, MadeBy
from engines.errors import EngineFailed
from engines.structure import faults
from engines.violations import violations

FAULTS_SHOWN = 5


def decided(opened: OpenedEngine, configured: DecisionInput, generation: int) -> DecisionOutput:
    """Return the engine's answer to an input that holds its config, with its maker and final action ids.

    What an uploaded engine answers is used only when it breaks no constraint. Raises `EngineFailed`.
    """
    data = canonical(configured)
    output = ask(opened, configured, data)
    if found := faults(configured, output):
        detail = "its answer is no decision: " + "; ".join(found[:FAULTS_SHOWN])
        raise EngineFailed(opened.entry.engine_id, detail, "no_decision")
    if opened.confined is not None and (broken := broken_by(configured, output)):
        detail = "its answer breaks what it must keep: " + "; ".join(broken[:FAULTS_SHOWN])
        raise EngineFailed(opened.entry.engine_id, detail, "violation")
    made_by = MadeBy(
        engine_id=opened.entry.engine_id,
        version=opened.entry.version,
        generation=generation,
        input_sha256=digest(data),
        config=configured.config,
    )
    return identified(output, made_by)


def broken_by(given: DecisionInput, output: DecisionOutput) -> tuple[str, ...]:
    """Return what the decisions break, each with its cluster."""
    return tuple(
        f"{decision.cluster_id}: {what}" for decision in output.decisions for what in violations(given, decision)
    )


def ask(opened: OpenedEngine, configured: DecisionInput, data: bytes | None = None) -> DecisionOutput:
    """Return what the engine answers, in the form of an answer and no more; `data` is the input, canonical.

    Raises `EngineFailed`.
    """
    if opened.confined is not None:
        return opened.confined.decide_canonical(canonical(configured) if data is None else data)
    engine_id = opened.entry.engine_id
    try:
        answer = opened.engine.decide(configured)
    except Exception as error:  # whatever an engine raises is its failure, not ours
        raise EngineFailed(engine_id, f"{type(error).__name__}: {error}") from error
    try:
        return DecisionOutput.model_validate(answer)
    except ValidationError as error:
        raise EngineFailed(engine_id, f"its answer is no decision: {error}", "no_decision") from error
