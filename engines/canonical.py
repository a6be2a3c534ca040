"""One byte string for each decision input, and ids that follow from it."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from engines.contract import Action, ClusterDecision, DecisionInput, DecisionOutput, MadeBy

_ID_HEX_DIGITS = 32


def canonical(given: DecisionInput) -> bytes:
    """Return `given` as JSON with sorted keys and no spaces (UTF-8): equal inputs give equal bytes."""
    return _as_bytes(given.model_dump(mode="json"))


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` (hex)."""
    return hashlib.sha256(data).hexdigest()


def compressed(data: bytes) -> bytes:
    """Return canonical bytes as they are kept (zlib)."""
    return zlib.compress(data, level=6)


def restored(kept: bytes) -> DecisionInput:
    """Return the input behind `compressed(canonical(input))`; raises ValueError when it is none."""
    try:
        return DecisionInput.model_validate_json(zlib.decompress(kept))
    except zlib.error as error:
        raise ValueError("not a compressed decision input") from error


def identified(output: DecisionOutput, made_by: MadeBy) -> DecisionOutput:
    """Return `output` with its maker, each action_id replaced by a hash, in the plans too.

    The hash is over the input's digest, engine, version, cluster and the action's content: the same input gives the
    same id, and the engine has no say in it.
    """
    decisions = tuple(_identified_decision(decision, made_by) for decision in output.decisions)
    return output.model_copy(update={"decisions": decisions, "made_by": made_by})


def _identified_decision(decision: ClusterDecision, made_by: MadeBy) -> ClusterDecision:
    before = decision.recommendations
    ids = {action.action_id: _action_id(action, decision.cluster_id, made_by) for action in before}
    actions = tuple(action.model_copy(update={"action_id": ids[action.action_id]}) for action in before)
    steps = tuple(
        step.model_copy(update={"action_ids": tuple(ids[i] for i in step.action_ids)})
        for step in decision.execution_plan.steps
    )
    plan = decision.execution_plan.model_copy(update={"steps": steps})
    return decision.model_copy(update={"recommendations": actions, "execution_plan": plan})


def _action_id(action: Action, cluster_id: str, made_by: MadeBy) -> str:
    content: Mapping[str, Any] = {
        "input": made_by.input_sha256,
        "engine": made_by.engine_id,
        "version": made_by.version,
        "cluster": cluster_id,
        "action": action.model_dump(mode="json", exclude={"action_id"}),
    }
    return digest(_as_bytes(content))[:_ID_HEX_DIGITS]


def _as_bytes(content: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A config may hold a whole number of more than 64 bits, which orjson does not write.
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
