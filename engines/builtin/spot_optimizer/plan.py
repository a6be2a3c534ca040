"""The ordered steps that carry the actions of one cluster out, and how each step is undone."""

import math
from collections.abc import Sequence

from engines.actions import Action, ExecutionPlan, PlanStep, StepType
from engines.builtin.spot_optimizer.config import OptimizerConfig
from engines.facts import Cluster

_QUICK_S = 60
_LAUNCH_S = 600
_VERIFY_S = 300
_UNCORDON_S = 900


def plan_of(cluster: Cluster, actions: Sequence[Action], config: OptimizerConfig) -> ExecutionPlan:
    """Return the plan; empty when every action is hold.

    New nodes come first and old ones end last, so that capacity never falls below what is needed.
    """
    doing = [action for action in actions if action.type != "hold"]
    if not doing:
        return ExecutionPlan()
    steps: list[PlanStep] = []
    for kind in _kinds(doing):
        steps.append(_step(kind, len(steps) + 1, _concerned(kind, doing), cluster, config))
    return ExecutionPlan(steps=tuple(steps))


def _kinds(doing: Sequence[Action]) -> list[StepType]:
    launches = any(action.target is not None and action.target.count for action in doing)
    disrupts = any(action.node_ids for action in doing)
    kinds: list[StepType] = ["revalidate"]
    kinds += ["launch", "wait_ready"] if launches else []
    kinds += ["check_savings"]
    kinds += ["cordon", "evict", "terminate"] if disrupts else []
    return [*kinds, "verify"]


def _concerned(kind: StepType, doing: Sequence[Action]) -> list[Action]:
    if kind in ("launch", "wait_ready"):
        return [action for action in doing if action.target is not None and action.target.count]
    if kind in ("cordon", "evict", "terminate"):
        return [action for action in doing if action.node_ids]
    return list(doing)


_WORDS: dict[StepType, tuple[str, str]] = {
    "revalidate": ("Check every precondition against the state of now.", "stop: ask for a new decision"),
    "launch": ("Launch the replacements, over all their pools at once.", "terminate what was launched and stop"),
    "wait_ready": ("Wait until the new nodes are ready for pods.", "terminate what was launched and stop"),
    "check_savings": ("Check that prices now still save enough.", "terminate what was launched and stop"),
    "cordon": ("Keep new pods off the old nodes.", "uncordon, terminate what was launched and stop"),
    "evict": ("Move the pods within their disruption budgets.", "uncordon what is not drained and stop"),
    "terminate": ("End the drained nodes.", "report the nodes that still run"),
    "verify": (
        "Check that all pods run and the cluster is as planned.",
        "report, and roll back by each action's words",
    ),
}


def _step(kind: StepType, number: int, actions: list[Action], cluster: Cluster, config: OptimizerConfig) -> PlanStep:
    description, on_failure = _WORDS[kind]
    touches = kind in ("cordon", "evict", "terminate")
    nodes = tuple(node_id for action in actions for node_id in action.node_ids) if touches else ()
    at_once = cluster.constraints.max_concurrent_disruptions
    targets = tuple(action.target for action in actions if action.target is not None) if kind == "launch" else ()
    batches = max(1, math.ceil(len(nodes) / at_once))
    seconds = {"launch": _LAUNCH_S, "wait_ready": _LAUNCH_S, "verify": _VERIFY_S}.get(kind, _QUICK_S)
    if kind == "evict":
        seconds = math.ceil(batches * config.disruption_minutes * 60)
    return PlanStep(
        step=number,
        type=kind,
        description=description,
        action_ids=tuple(action.action_id for action in actions),
        node_ids=nodes,
        targets=targets,
        depends_on=(number - 1,) if number > 1 else (),
        max_concurrent=at_once if kind == "evict" else None,
        min_savings_usd_per_hour=_least(cluster, actions) if kind == "check_savings" else None,
        timeout_seconds=seconds,
        uncordon_after_seconds=_UNCORDON_S if kind == "cordon" else None,
        on_failure=on_failure,
    )


def _least(cluster: Cluster, actions: Sequence[Action]) -> float:
    """Return what the plan must still save: the user's minimum, or what was decided where that is less."""
    decided = math.fsum(action.savings.p50 for action in actions)
    return min(decided, cluster.constraints.min_savings_usd_per_hour)
