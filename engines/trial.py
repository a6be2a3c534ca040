"""Trying an engine without selecting it: what it answers to one input, what that breaks, and how long it took."""

import time
from collections.abc import Mapping
from typing import Any

from engines.catalogue import Catalogue, OpenedEngine
from engines.contract import DecisionInput
from engines.deciding import ask, broken_by
from engines.errors import EngineFailed
from engines.structure import faults


def tried(catalogue: Catalogue, engine_id: str, config: Mapping[str, Any], given: DecisionInput) -> dict[str, Any]:
    """Return, as JSON values, an engine's `output` (null where it gave none), its `violations` and its `problem`.

    Raises `EngineNotFound` and `EngineConfigInvalid`; what the engine does wrong is in the answer.
    """
    try:
        opened = catalogue.open(engine_id)
    except EngineFailed as failure:
        return _report(engine_id, "", dict(config), problem=failure)
    try:
        valid = opened.validated_config(config)
        return _asked(opened, valid, given.model_copy(update={"config": valid}))
    finally:
        opened.close()


def _asked(opened: OpenedEngine, config: dict[str, Any], given: DecisionInput) -> dict[str, Any]:
    entry = opened.entry
    began = time.perf_counter()
    try:
        output = ask(opened, given)
    except EngineFailed as failure:
        return _report(entry.engine_id, entry.version, config, problem=failure)
    seconds = time.perf_counter() - began
    found = faults(given, output)
    broken = () if found else broken_by(given, output)
    problem = EngineFailed(entry.engine_id, "; ".join(found), "no_decision") if found else None
    told = output.model_dump(mode="json")
    return _report(entry.engine_id, entry.version, config, told, broken, seconds, problem)


def _report(
    engine_id: str,
    version: str,
    config: dict[str, Any],
    output: dict[str, Any] | None = None,
    violations: tuple[str, ...] = (),
    seconds: float | None = None,
    problem: EngineFailed | None = None,
) -> dict[str, Any]:
    return {
        "engine_id": engine_id,
        "version": version,
        "config": config,
        "output": output,
        "violations": list(violations),
        "seconds": seconds,
        "problem": {"kind": problem.kind, "detail": problem.detail} if problem else None,
        "usable": output is not None and not violations and problem is None,
    }
