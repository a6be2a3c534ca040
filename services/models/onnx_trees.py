"""Checks the trees within an ONNX graph, which ONNX Runtime walks by the indices that it finds."""

from typing import Any

Node = tuple[int, int]  # (tree, node)
Children = dict[Node, tuple[Node, Node]]

OLD = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def check_trees(node: Any, width: int) -> None:
    """Every walk ends and every index is within; raises ValueError. `width` is how many features it is given."""
    if node.op_type not in OLD:
        raise ValueError(f"it has trees of the kind {node.op_type}, which is not taken")
    lists = {attribute.name: list(attribute.ints) for attribute in node.attribute}
    modes = next((list(found.strings) for found in node.attribute if found.name == "nodes_modes"), [])
    values = next((found for found in node.attribute if found.name.startswith("nodes_values")), None)
    trees, ids = lists.get("nodes_treeids", []), lists.get("nodes_nodeids", [])
    features = lists.get("nodes_featureids", [])
    yes, no = lists.get("nodes_truenodeids", []), lists.get("nodes_falsenodeids", [])
    sizes = {len(part) for part in (trees, ids, features, yes, no, modes)}
    if sizes != {len(ids)} or values is None or not len(ids):
        raise ValueError("its trees have lists of different sizes")
    children: Children = {}
    for tree, place, left, right, mode in zip(trees, ids, yes, no, modes, strict=True):
        children[tree, place] = ((tree, left), (tree, right)) if mode != b"LEAF" else ()  # type: ignore[assignment]
    if any(not 0 <= feature < width for feature in features):
        raise ValueError(f"its trees split by a feature outside the {width} there are")
    if len(children) != len(ids):
        raise ValueError("its trees have two nodes of one number")
    _check_links(children, len(set(trees)))
    _check_weights(lists, set(children))


def _check_links(children: Children, trees: int) -> None:
    """Each node but a root has one parent, and is met on the way down from its root."""
    below = [child for pair in children.values() for child in set(pair)]
    if len(set(below)) != len(below) or not set(below) <= children.keys():
        raise ValueError("its trees have a child outside their nodes or with two parents")
    waiting = list(children.keys() - set(below))
    if len(waiting) != trees:
        raise ValueError("its trees have a child outside their nodes or with two parents")
    met = 0
    while waiting:
        met += 1
        waiting += set(children[waiting.pop()])
    if met != len(children):
        raise ValueError("its trees have a child outside their nodes or with two parents")


def _check_weights(lists: dict[str, list[int]], known: set[Node]) -> None:
    """The values of leaves stand at nodes that there are."""
    kind = "class" if "class_nodeids" in lists else "target"
    places = zip(lists.get(f"{kind}_treeids", []), lists.get(f"{kind}_nodeids", []), strict=False)
    if not set(places) <= known or any(place < 0 for place in lists.get(f"{kind}_ids", [])):
        raise ValueError("its trees give a value at a node that there is not")
