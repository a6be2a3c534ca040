"""Events survive their stored form; the latest one is found by place."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import LeaseLost
from services.live.events import LOG, decode, encode
from services.live.facts import score_block
from services.live.latest import Latest
from services.live.stage import Stage
from services.store.protocol import Entry, Lease
from services.store.sqlite import SqliteStore
from tests.unit.live.live_blocks import NOW, POOLS, block, slots, version


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda n: n not in ("v", "market_id", "previous")), st.integers()),
    st.lists(st.floats(allow_nan=False) | st.none()),
    st.text(),
)
def test_an_event_comes_back_as_it_was(header: dict[str, int], values: list[float | None], market: str) -> None:
    rows = pl.DataFrame({"value": values}, schema={"value": pl.Float64()})
    event = decode(Entry(7, "predictions", NOW, encode(market, 6, header, rows)))
    assert (event.seq, event.kind, event.previous, event.market_id, event.header) == (
        *(7, "predictions", 6),
        *(market, header),
    )
    assert event.rows.equals(rows)


def test_an_event_of_a_later_release_is_refused() -> None:
    head = b'{"v": 2}'
    with pytest.raises(ValueError, match="release"):
        decode(Entry(1, "predictions", NOW, len(head).to_bytes(4, "big") + head))


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.sqlite3")


def lease(store: SqliteStore, holder: str) -> Lease:
    held = store.acquire("live_loop", holder, 30)
    assert held is not None
    return held


def test_a_tick_is_told_with_what_each_model_says(store: SqliteStore) -> None:
    stage = Stage(store, lease(store, "me"), keep=100)
    both = slots(version(), version(("price",), "spot_price"))
    first = stage.tell_predictions(block(price=0.25), score_block(block(price=0.25), both))
    second = stage.tell_predictions(block(), {})
    events = [decode(entry) for entry in store.read(LOG)]
    assert [(event.seq, event.previous) for event in events] == [(first, 0), (second, first)]
    told = events[0]
    assert told.header["models"]["spot_price"] == {"model_id": "echo:spot_price", "generation": 1, "horizon_hours": 6}
    assert told.rows["pool_id"].to_list() == list(POOLS)
    assert set(told.rows["interruption_probability"]) == {0.25}
    assert set(told.rows["predicted_price"]) == {0.25}
    assert set(told.rows["interruption_probability_confidence"]) == {1.0}


def test_a_loop_that_was_replaced_tells_nothing_more(store: SqliteStore) -> None:
    old = Stage(store, lease(store, "me"), keep=100)
    lease(store, "me")
    with pytest.raises(LeaseLost):
        old.tell_predictions(block(), {})
    with pytest.raises(LeaseLost):
        old.confirm()
    assert store.span(LOG) == (1, 0)


def test_a_stage_goes_on_with_the_chain_of_the_one_before(store: SqliteStore) -> None:
    first = Stage(store, lease(store, "me"), keep=100).tell_predictions(block(), {})
    second = Stage(store, lease(store, "me"), keep=100).tell_predictions(block(), {})
    assert decode(store.read(LOG, after=first)[0]).previous == first < second


def test_the_latest_is_found_by_place(store: SqliteStore) -> None:
    assert Latest(store).predictions() is None
    Stage(store, lease(store, "me"), keep=100).tell_predictions(block(), {})
    latest = Latest(store)

    def found(**asked: tuple[str, ...]) -> list[str]:
        event = latest.predictions(**asked)
        assert event is not None
        return event[1]["pool_id"].to_list()

    assert found() == list(POOLS)
    assert found(regions=("eu-west-1",), instance_types=("c5.large",)) == [POOLS[0], POOLS[2]]
    assert found(pool_ids=(POOLS[3], "elsewhere")) == [POOLS[3]]
    assert found(regions=("nowhere",)) == []
