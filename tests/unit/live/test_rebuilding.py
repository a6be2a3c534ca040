"""The board's first block, made of the history while the loop is away: the same rows, and an honest age."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from gapfill.features.registry import NAMES
from gapfill.filler import Watched
from gapfill.frames import PRICES
from gapfill.pools import LINUX
from gapfill.pulled import PulledBook
from gapfill.requests import FillRequest
from services.live.blocks import make_block
from services.live.rebuilding import rebuilt_block
from services.live.recent import Recent
from services.live.tracking import RegionScope
from tests.unit.gapfill.filler_world import NOW, REGIONS, TYPES, build

SCOPES = [RegionScope(region, TYPES, (LINUX,)) for region in REGIONS]
LATER = NOW + timedelta(minutes=7)


def test_a_history_without_prices_makes_no_block(tmp_path: Path) -> None:
    world = build(tmp_path)
    assert rebuilt_block(world.history, PulledBook(world.store), SCOPES, NOW, "sim:1") is None


def test_the_block_is_that_of_the_last_look_at_the_market(tmp_path: Path) -> None:
    world = build(tmp_path)
    world.filler.submit(FillRequest(instance_types=TYPES, regions=REGIONS), "test")
    world.run()
    block = rebuilt_block(world.history, PulledBook(world.store), SCOPES, LATER, "sim:1")
    assert block is not None
    recent = Recent(world.history)
    recent.refresh(SCOPES, NOW)
    same = make_block(recent, seq=1, as_of=block.as_of, market_id="sim:1", known_at={})
    assert same is not None
    assert block.pool_ids == same.pool_ids
    assert len(block.pool_ids) == 12
    np.testing.assert_array_equal(block.matrix, same.matrix)
    assert np.isfinite(block.matrix[:, NAMES.index("price")]).all()
    assert block.as_of <= NOW < LATER, "it speaks of when the market was asked, not of now"
    assert (block.known_at == block.as_of.timestamp()).all()
    assert block.types["m5.large"].architecture == "x86_64"


def test_each_pool_is_as_old_as_the_last_look_at_its_region(tmp_path: Path) -> None:
    world = build(tmp_path)
    world.filler.submit(FillRequest(instance_types=TYPES, regions=REGIONS), "test")
    world.run()
    one = REGIONS[0]
    world.filler.ingest(pl.DataFrame(schema=PRICES), [Watched(one, TYPES, (LINUX,), NOW, LATER)])
    block = rebuilt_block(world.history, PulledBook(world.store), SCOPES, LATER, "sim:1")
    assert block is not None
    ages = {
        region: {
            round(LATER.timestamp() - at)
            for pool_id, at in zip(block.pool_ids, block.known_at, strict=True)
            if pool_id.startswith(region)
        }
        for region in REGIONS
    }
    assert ages[one] == {0}
    assert min(ages[REGIONS[1]]) >= 7 * 60
