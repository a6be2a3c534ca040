"""The split: exact, stable, and moving nothing but what it must."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from services.live.experiments.errors import ExperimentInvalid
from services.live.experiments.split import BUCKETS, Split, bucket_of, shares_of
from tests.unit.experiments.experiment_steps import pool_ids

POOLS = pool_ids(1500)
weights = st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(any)


def shares(given_weights: list[int]) -> list[int]:
    return list(shares_of({f"arm{place}": weight for place, weight in enumerate(given_weights)}).values())


@given(weights)
def test_weights_are_whole_buckets_of_which_none_is_lost(given_weights: list[int]) -> None:
    total = sum(given_weights)
    told = shares(given_weights)
    assert sum(told) == BUCKETS
    for share, weight in zip(told, given_weights, strict=True):
        assert (share == 0) == (weight == 0)
        assert abs(share - weight * BUCKETS / total) < 1


def test_largest_remainders_get_what_is_left() -> None:
    assert shares([1, 1, 1]) == [3334, 3333, 3333]
    assert shares([100, 0]) == [10_000, 0]
    assert shares([0, 100]) == [0, 10_000]
    assert shares_of({"a": 0.9, "b": 0.1}) == {"a": 9000, "b": 1000}
    assert shares_of({"a": 2, "b": 4, "c": 0}) == {"a": 3333, "b": 6667, "c": 0}


@pytest.mark.parametrize(
    "wanted", [{"a": 0.0, "b": 0.0}, {"a": 1.0, "b": -1.0}, {"a": 1e6, "b": 1.0}, {"a": float("inf"), "b": 1.0}]
)
def test_weights_that_cannot_be_kept_are_refused(wanted: dict[str, float]) -> None:
    with pytest.raises(ExperimentInvalid):
        shares_of(wanted)


@given(weights, st.text(max_size=10))
@settings(max_examples=50)
def test_an_arm_owns_exactly_its_share_and_nothing_without_one(given_weights: list[int], salt: str) -> None:
    wanted = shares(given_weights)
    split = Split.of(salt, wanted)
    assert np.bincount(split.owners, minlength=len(wanted)).tolist() == wanted
    seen = {split.arm_of(pool) for pool in POOLS[:200]}
    assert all(wanted[arm] > 0 for arm in seen)


@given(st.lists(weights.filter(lambda w: len(w) == 4), min_size=2, max_size=6))
@settings(max_examples=30)
def test_pools_move_only_from_arms_that_shrink_to_arms_that_grow(changes: list[list[int]]) -> None:
    wanted = [shares(one) for one in changes]
    split = Split.of("salt", wanted[0])
    for before, after in pairwise(wanted):
        changed = split.changed(after)
        assert np.bincount(changed.owners, minlength=4).tolist() == after
        moved = changed.owners != split.owners
        assert moved.sum() == sum(max(0, a - b) for b, a in zip(before, after, strict=True)), "no more than must"
        assert all(after[arm] < before[arm] for arm in set(split.owners[moved].tolist()))
        assert all(after[arm] > before[arm] for arm in set(changed.owners[moved].tolist()))
        assert Split.from_runs("salt", changed.runs()).owners.tolist() == changed.owners.tolist()
        split = changed


def test_growing_an_arm_step_by_step_keeps_whom_it_has() -> None:
    split = Split.of("salt", [10_000, 0])
    held: set[str] = set()
    for share in range(0, 10_001, 500):
        split = split.changed([10_000 - share, share])
        mine = {pool for pool in POOLS if split.arm_of(pool) == 1}
        assert held <= mine
        held = mine
    assert held == set(POOLS)


def test_pools_fall_evenly_and_anew_for_each_experiment() -> None:
    many = pool_ids(20_000)
    tenths = np.bincount([bucket_of("one", pool) // 1000 for pool in many], minlength=10)
    assert chisquare(tenths).pvalue > 0.001
    one, other = Split.of("one", [5000, 5000]), Split.of("other", [5000, 5000])
    agree = sum(one.arm_of(pool) == other.arm_of(pool) for pool in many)
    assert abs(agree / len(many) - 0.5) < 0.02
    assert bucket_of("one", many[0]) == 2948, "the same in every process and release"
