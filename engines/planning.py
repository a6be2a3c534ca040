"""The ordered steps that carry a cluster's actions out; new nodes come first and old ones end last."""

import math
from collections.abc import Sequence

from engines.actions import Action, ExecutionPlan, PlanStep, StepType
from engines.facts import Cluster

QUICK_S = 60
SECONDS: dict[StepType, int] = {"launch": 600, "wait_ready": 600, "verify": 300}
UNCORDON_S = 900
WORDS: dict[StepType, tuple[str, str]] = {
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


def plan_for(cluster: Cluster, actions: Sequence[Action], disruption_minutes: float = 10.0) -> ExecutionPlan:
    """Return the plan for `actions`, empty when all are hold; draining one node takes `disruption_minutes`."""
    doing = [action for action in actions if action.type != "hold"]
    launching = [action for action in doing if action.target is not None and action.target.count]
    disrupting = [action for action in doing if action.node_ids]
    stages: list[tuple[StepType, list[Action]]] = [
        ("revalidate", doing),
        ("launch", launching),
        ("wait_ready", launching),
        ("check_savings", doing),
        ("cordon", disrupting),
        ("evict", disrupting),
        ("terminate", disrupting),
        ("verify", doing),
    ]
    wanted = [(kind, concerned) for kind, concerned in stages if concerned]
    steps = [_step(i, kind, about, cluster, disruption_minutes) for i, (kind, about) in enumerate(wanted, start=1)]
    return ExecutionPlan(steps=tuple(steps))


def _step(number: int, kind: StepType, actions: Sequence[Action], cluster: Cluster, minutes: float) -> PlanStep:
    description, on_failure = WORDS[kind]
    touches = kind in ("cordon", "evict", "terminate")
    nodes = tuple(node_id for action in actions for node_id in action.node_ids) if touches else ()
    at_once = cluster.constraints.max_concurrent_disruptions
    seconds = SECONDS.get(kind, QUICK_S)
    if kind == "evict":
        seconds = max(1, math.ceil(math.ceil(len(nodes) / at_once) * minutes * 60))
    saved = math.fsum(action.savings.p50 for action in actions)
    return PlanStep(
        step=number,
        type=kind,
        description=description,
        action_ids=tuple(action.action_id for action in actions),
        node_ids=nodes,
        targets=tuple(a.target for a in actions if a.target is not None) if kind == "launch" else (),
        depends_on=(number - 1,) if number > 1 else (),
        max_concurrent=at_once if kind == "evict" else None,
        min_savings_usd_per_hour=min(saved, cluster.constraints.min_savings_usd_per_hour)
        if kind == "check_savings"
        else None,
        timeout_seconds=seconds,
        uncordon_after_seconds=UNCORDON_S if kind == "cordon" else None,
        on_failure=on_failure,
    )
