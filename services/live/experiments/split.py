"""How traffic is split: a pool falls into one of 10,000 buckets for good, and each arm owns exactly its weight of them.

A pool's bucket is a hash of the pool, salted by the experiment. Buckets change hands only from arms that shrink to arms
that grow, so that a change of weights moves no other pool.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.live.experiments.errors import ExperimentInvalid

BUCKETS = 10_000
Owners = NDArray[np.uint8]
Runs = tuple[tuple[int, int], ...]  # (arm, buckets running), all buckets in order


def bucket_of(salt: str, pool_id: str) -> int:
    """0..9999, even over pools and independent between salts (64 bits of BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(pool_id.encode(), digest_size=8, key=_key(salt)).digest(), "big") % BUCKETS


@lru_cache(maxsize=64)
def _key(salt: str) -> bytes:
    return hashlib.blake2b(salt.encode()).digest()


def shares_of(wanted: Mapping[str, float]) -> dict[str, int]:
    """Weights in any unit (90 and 10, 0.9 and 0.1) as whole buckets that add up to 10,000, by largest remainders.

    What is 0 stays 0. Raises `ExperimentInvalid` for a negative weight, for all of them 0, and for one above 0 that
    would come to less than one bucket.
    """
    for arm, weight in wanted.items():
        if not 0 <= weight < float("inf"):
            raise ExperimentInvalid(f"weights.{arm}", f"{weight} is no weight", "Send weights of 0 or more.")
    total = sum(wanted.values())
    if not 0 < total < float("inf"):
        raise ExperimentInvalid("weights", "add up to no traffic", "Give at least one arm a weight above 0.")
    exact = {arm: weight / total * BUCKETS for arm, weight in wanted.items()}
    shares = {arm: int(share) for arm, share in exact.items()}
    left = BUCKETS - sum(shares.values())
    by_remainder = sorted((arm for arm in exact if exact[arm] > 0), key=lambda arm: shares[arm] - exact[arm])
    for arm in by_remainder[:left]:
        shares[arm] += 1
    for arm, weight in wanted.items():
        if weight > 0 and shares[arm] == 0:
            raise ExperimentInvalid(
                f"weights.{arm}", f"{weight} of {total} is less than one in {BUCKETS:,}", "Send more for it, or 0."
            )
    return shares


@dataclass(frozen=True, slots=True)
class Split:
    """Who owns which bucket: `owners` uint8[10000], the place of the arm in the experiment's list of arms."""

    salt: str
    owners: Owners

    @classmethod
    def of(cls, salt: str, shares: Sequence[int]) -> "Split":
        """A first split: the arms side by side."""
        return cls(salt, np.repeat(np.arange(len(shares), dtype=np.uint8), shares))

    @classmethod
    def from_runs(cls, salt: str, runs: Runs) -> "Split":
        """As `runs` said it."""
        arms, lengths = zip(*runs, strict=True)
        return cls(salt, np.repeat(np.array(arms, dtype=np.uint8), lengths))

    def arm_of(self, pool_id: str) -> int:
        """The place of the arm that answers for a pool."""
        return int(self.owners[bucket_of(self.salt, pool_id)])

    def changed(self, shares: Sequence[int]) -> "Split":
        """With other weights: arms that shrink give their last buckets to those that grow, nothing else moves."""
        owners = self.owners.copy()
        have = np.bincount(owners, minlength=len(shares))
        free = [np.flatnonzero(owners == arm)[share:] for arm, share in enumerate(shares) if share < have[arm]]
        given = np.concatenate([np.empty(0, dtype=np.intp), *free])
        grow = [max(0, share - int(have[arm])) for arm, share in enumerate(shares)]
        owners[given] = np.repeat(np.arange(len(shares), dtype=np.uint8), grow)
        return Split(self.salt, owners)

    def runs(self) -> Runs:
        """The owners in short, for keeping."""
        edges = np.flatnonzero(np.diff(self.owners)) + 1
        starts = np.concatenate([[0], edges, [BUCKETS]])
        return tuple((int(self.owners[start]), int(end - start)) for start, end in pairwise(starts))
