"""Canonical inputs: one byte string per input, kept compressed, and read back as they were."""

from random import Random

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from engines import samples
from engines.canonical import canonical, compressed, digest, restored
from engines.contract import Cluster, DecisionInput
from tests.unit.engines import engine_inputs as small


@settings(max_examples=20, deadline=None)
@hypothesis_given(seed=st.integers(0, 2**32))
def test_an_input_is_restored_bit_for_bit(seed: int) -> None:
    given = samples.random_input(Random(seed))
    data = canonical(given)
    again = restored(compressed(data))
    assert again == given
    assert canonical(again) == data


def test_the_order_of_names_does_not_matter_and_values_do() -> None:
    one = small.given(known=(small.pool("m5.large", features={"a": 1.0, "b": None}),))
    same = small.given(known=(small.pool("m5.large", features={"b": None, "a": 1.0}),))
    other = small.given(known=(small.pool("m5.large", features={"a": 1.0 + 1e-15, "b": None}),))
    assert digest(canonical(one)) == digest(canonical(same))
    assert digest(canonical(one)) != digest(canonical(other))


def test_what_is_no_input_is_refused() -> None:
    for kept in (b"", b"garbage", compressed(b"{}")):
        with pytest.raises(ValueError):
            restored(kept)


def test_two_nodes_with_one_name_are_refused() -> None:
    node = small.node("n", "m5.large")
    with pytest.raises(ValueError, match="same node_id"):
        Cluster(cluster_id="c", nodes=(node, node))


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        DecisionInput.model_validate(
            {**small.given().model_dump(), "pools": [{**small.pool("m5.large").model_dump(), "price": float("nan")}]}
        )
