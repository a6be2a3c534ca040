"""The board: the newest block, found by region, type and product."""

from datetime import UTC, timedelta

import numpy as np
import polars as pl

from gapfill.features.registry import NAMES
from gapfill.frames import INSTANT
from services.live.board import FeatureBlock, FeatureBoard, simulated
from tests.unit.live.live_blocks import NOW, POOLS, TYPES, block


def test_an_empty_board_knows_nothing() -> None:
    board = FeatureBoard()
    assert board.block is None
    assert board.age_s() is None
    assert board.rows("us-east-1", "m5.large", "Linux/UNIX") is None


def test_rows_are_the_zones_of_a_pool() -> None:
    board = FeatureBoard()
    board.show(block())
    found = board.rows("us-east-1", "m5.large", "Linux/UNIX")
    assert found is not None
    assert [POOLS[place] for place in found[1]] == [
        "us-east-1/us-east-1a/m5.large/Linux/UNIX",
        "us-east-1/us-east-1b/m5.large/Linux/UNIX",
    ]
    for missing in (("us-east-1", "m5.large", "Windows"), ("us-west-2", "m5.large", "Linux/UNIX"), ("", "", "")):
        found = board.rows(*missing)
        assert found is not None
        assert len(found[1]) == 0


def test_a_newer_block_replaces_and_an_older_one_does_not() -> None:
    board = FeatureBoard()
    board.show(block(2, NOW))
    board.show(block(1, NOW - timedelta(seconds=5)))
    assert board.block is not None
    assert board.block.seq == 2
    board.show(block(3, NOW + timedelta(seconds=5), POOLS[:2]))
    assert board.age_s(NOW + timedelta(seconds=8)) == 3
    found = board.rows("us-east-1", "m5.large", "Linux/UNIX")
    assert found is not None
    assert len(found[1]) == 0, "a pool that is gone is found no more"


def test_a_loop_that_was_started_anew_is_followed_though_it_counts_from_one() -> None:
    board = FeatureBoard()
    board.show(block(900, NOW))
    board.show(block(1, NOW + timedelta(seconds=5)))
    assert board.block is not None
    assert board.block.seq == 1


def test_a_copy_shares_no_memory() -> None:
    own = block()
    copy = own.copied()
    for name in ("matrix", "imputed", "observed_at", "known_at"):
        assert not np.shares_memory(getattr(own, name), getattr(copy, name))
        assert np.array_equal(getattr(own, name), getattr(copy, name))


def test_a_block_from_a_frame_keeps_flags_and_instants() -> None:
    frame = pl.DataFrame(
        {
            "pool_id": POOLS[:2],
            **{name: [1.0, None] for name in NAMES},
            "imputed": [["hour"], ["price", "slope_24h"]],
            "observed_at": pl.Series([NOW - timedelta(hours=2), None], dtype=INSTANT),
        }
    )
    made = FeatureBlock.from_frame(
        frame, NAMES, seq=1, as_of=NOW, market_id="aws:1", known_at=np.array([1.0, 2.0]), types=TYPES
    )
    flagged = [{name for name, flag in zip(NAMES, row, strict=True) if flag} for row in made.imputed]
    assert flagged == [{"hour"}, {"price", "slope_24h"}]
    assert made.matrix[0].tolist() == [1.0] * len(NAMES)
    assert np.isnan(made.matrix[1]).all()
    silence = made.silence_h()
    assert silence[0] == 2
    assert np.isnan(silence[1])
    assert made.as_of.tzinfo is UTC


def test_only_aws_is_not_simulated() -> None:
    assert [simulated(market) for market in ("aws:123", "sim:7", "replay:ab+1")] == [False, True, True]
