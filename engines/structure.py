"""Whether an answer is a decision at all: every cluster, every node, every reference accounted for."""

from collections import Counter
from collections.abc import Iterator

from engines.contract import Cluster, ClusterDecision, DecisionInput, DecisionOutput

# What the constraints are held against takes time with the square of this.
MOST_RECEIVERS = 10


def faults(given: DecisionInput, output: DecisionOutput) -> tuple[str, ...]:
    """Return what is wrong with the form of `output`, one sentence each; empty when it is a decision on `given`."""
    asked = [cluster.cluster_id for cluster in given.clusters]
    answered = [decision.cluster_id for decision in output.decisions]
    if asked != answered:
        return (f"asked for the clusters {asked[:5]}, answered for {answered[:5]}",)
    found = [] if output.as_of == given.as_of else ["as_of is not the input's"]
    for cluster, decision in zip(given.clusters, output.decisions, strict=True):
        found.extend(f"{cluster.cluster_id}: {fault}" for fault in _of_cluster(cluster, decision))
    return tuple(found)


def _of_cluster(cluster: Cluster, decision: ClusterDecision) -> Iterator[str]:
    known = Counter(node.node_id for node in cluster.nodes)
    acted = Counter(node_id for action in decision.recommendations for node_id in action.node_ids)
    for node_id in acted.keys() | known.keys():
        if acted[node_id] != known[node_id]:
            yield f"node {node_id} is in {acted[node_id]} actions, and {known[node_id]} times in the cluster"
    ids = Counter(action.action_id for action in decision.recommendations)
    yield from (f"action_id {name} is used {n} times" for name, n in ids.items() if n > 1)
    contents = Counter(action.model_dump_json(exclude={"action_id"}) for action in decision.recommendations)
    if any(n > 1 for n in contents.values()):
        yield "two actions have the same content"
    yield from _of_references(decision, set(ids), set(known))


def _of_references(decision: ClusterDecision, ids: set[str], known: set[str]) -> Iterator[str]:
    receiving = sum(len(action.receiving_node_ids) for action in decision.recommendations)
    if receiving > MOST_RECEIVERS * max(1, len(known)):
        yield f"receiving nodes are named {receiving} times, for {len(known)} nodes"
    for action in decision.recommendations:
        if action.type == "hold" and action.target is not None:
            yield f"{action.action_id} holds, and yet has a target"
        if action.type != "hold" and action.target is None:
            yield f"{action.action_id} has no target"
        if action.type == "consolidate" and not action.receiving_node_ids:
            yield f"{action.action_id} consolidates into nothing"
        if len(action.receiving_node_ids) > len(set(action.receiving_node_ids)):
            yield f"{action.action_id} names a receiving node twice"
        if not set(action.receiving_node_ids) <= known:
            yield f"{action.action_id} moves load to unknown nodes"
        if not action.node_ids and action.type not in ("move_to_spot", "fall_back_to_on_demand"):
            yield f"{action.action_id} acts on no node"
    for number, step in enumerate(decision.execution_plan.steps, start=1):
        if step.step != number or any(needed >= number for needed in step.depends_on):
            yield f"step {number} is out of order"
        if not set(step.action_ids) <= ids:
            yield f"step {number} belongs to unknown actions"
        if not set(step.node_ids) <= known:
            yield f"step {number} touches unknown nodes"
