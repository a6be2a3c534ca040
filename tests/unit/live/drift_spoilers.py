"""Collectors that break: each turns a sound block into what one of them would deliver."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np

from gapfill.features.registry import NAMES
from services.live.board import FeatureBlock
from services.live.drift.signs import SILENCE_H
from tests.unit.live.drift_market import LIVE

WINDOW = timedelta(hours=6)
JUMP = LIVE + timedelta(days=1)
Spoil = Callable[[FeatureBlock], FeatureBlock]


def no_price(block: FeatureBlock) -> FeatureBlock:
    matrix = block.matrix.copy()
    matrix[::3, NAMES.index("price")] = np.nan
    return replace(block, matrix=matrix)


def imputed(block: FeatureBlock) -> FeatureBlock:
    flags = block.imputed.copy()
    flags[:, 3:12] = True
    return replace(block, imputed=flags)


def silent(block: FeatureBlock) -> FeatureBlock:
    observed = block.observed_at.copy()
    observed[::4] = block.as_of.timestamp() - (SILENCE_H + 1) * 3600
    return replace(block, observed_at=observed)


def region_away(block: FeatureBlock) -> FeatureBlock:
    known = block.known_at.copy()
    known[[pool.startswith("eu-west-1/") for pool in block.pool_ids]] = JUMP.timestamp() - WINDOW.total_seconds()
    return replace(block, known_at=known)


def pools_gone(block: FeatureBlock) -> FeatureBlock:
    kept = [place for place, pool in enumerate(block.pool_ids) if "/m5." not in pool]
    return replace(
        block,
        pool_ids=tuple(block.pool_ids[place] for place in kept),
        matrix=block.matrix[kept],
        imputed=block.imputed[kept],
        observed_at=block.observed_at[kept],
        known_at=block.known_at[kept],
    )


def one_price(block: FeatureBlock) -> FeatureBlock:
    matrix = block.matrix.copy()
    matrix[:, NAMES.index("price")] = 0.05
    return replace(block, matrix=matrix)


def frozen(block: FeatureBlock) -> FeatureBlock:
    matrix = block.matrix.copy()
    matrix[:, NAMES.index("changes_24h")] = 0.0
    return replace(block, matrix=matrix)
