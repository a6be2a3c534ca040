"""The history stores each point once, answers by time and scope, and refuses what it may not touch."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from gapfill.errors import HistoryMarketMismatch, HistoryTooNew, StaleWriter
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PREDICTIONS, PRICES
from gapfill.history import History
from gapfill.scope import Scope

T0 = datetime(2026, 1, 5, tzinfo=UTC)
A = "us-east-1/us-east-1a/m5.large/Linux/UNIX"
B = "eu-west-1/eu-west-1b/c5.large/Windows"


def hours(h: float) -> datetime:
    return T0 + timedelta(hours=h)


def points(*rows: tuple[str, float, int]) -> pl.DataFrame:
    return pl.DataFrame([(p, "z1", hours(h), price) for p, h, price in rows], schema=PRICES, orient="row")


def listed(frame: pl.DataFrame) -> Sequence[tuple[str, datetime, int]]:
    return frame.select("pool_id", "at", "price_micro_usd").rows()


@pytest.fixture(params=["history", "with a space, 100 % and ü"])
def history(tmp_path: Path, request: pytest.FixtureRequest) -> History:
    return History(tmp_path / str(request.param), "sim:1")


def test_a_point_is_stored_once(history: History) -> None:
    first = history.append_prices(points((A, 0, 10), (A, 1, 11), (A, 1, 11)))
    again = history.append_prices(points((A, 1, 11), (A, 2, 12)))
    assert (first.stored, first.present, first.conflicting) == (2, 1, 0)
    assert (again.stored, again.present, again.conflicting) == (1, 1, 0)
    assert listed(history.prices()) == [(A, hours(0), 10), (A, hours(1), 11), (A, hours(2), 12)]


def test_the_first_price_stays_and_a_conflict_is_counted(history: History) -> None:
    history.append_prices(points((A, 0, 10)))
    result = history.append_prices(points((A, 0, 99)))
    assert (result.stored, result.conflicting) == (0, 1)
    assert listed(history.prices()) == [(A, hours(0), 10)]


def test_no_price_is_refused_not_stored(history: History) -> None:
    result = history.append_prices(points((A, 0, 0), (A, 1, -5), (A, 2, 7)))
    assert (result.stored, result.refused) == (1, 2)


def test_a_window_starts_with_the_carry_in(history: History) -> None:
    history.append_prices(points((A, 0, 1), (A, 5, 2), (A, 10, 3), (A, 20, 4), (B, 1, 9)))
    assert listed(history.prices(start=hours(10), end=hours(20))) == [
        (B, hours(1), 9),
        (A, hours(5), 2),
        (A, hours(10), 3),
    ]
    assert listed(history.prices(start=hours(10), end=hours(20), carry_in=False)) == [(A, hours(10), 3)]


def test_a_scope_narrows_by_every_part(history: History) -> None:
    history.append_prices(points((A, 0, 1), (B, 0, 2)))
    for scope in (
        Scope(regions=("us-east-1",)),
        Scope(instance_types=("m5.large",)),
        Scope(products=("Linux/UNIX",)),
        Scope.of_pools([A]),
    ):
        assert history.prices(scope)["pool_id"].to_list() == [A]
        assert history.pools(scope)["pool_id"].to_list() == [A]
    assert history.prices(Scope(regions=("us-east-1",), products=("Windows",))).is_empty()


def test_as_known_then_hides_what_came_later(tmp_path: Path) -> None:
    now = [hours(100)]
    history = History(tmp_path, "sim:1", clock=lambda: now[0])
    history.append_prices(points((A, 0, 1)))
    now[0] = hours(200)
    history.append_prices(points((A, 1, 2)))
    assert listed(history.prices(known_at=hours(150))) == [(A, hours(0), 1)]


def test_a_reader_opened_before_the_first_write_sees_it(tmp_path: Path) -> None:
    reader, writer = History(tmp_path, "sim:1"), History(tmp_path, "sim:1")
    assert reader.prices().is_empty()
    writer.append_prices(points((A, 0, 1)))
    assert reader.prices().height == 1
    writer.append_prices(points((A, 1, 1)))
    assert reader.prices().height == 2


def test_compaction_changes_no_answer(history: History) -> None:
    for h in range(12):
        history.append_prices(points((A, h, h + 1), (B, h, h + 1)))
    before = history.prices()
    assert history.compact() > 0
    assert history.prices().equals(before)
    assert history.append_prices(points((A, 3, 4))).stored == 0


def test_readers_see_whole_commits_while_others_append_and_compact(tmp_path: Path) -> None:
    writer, reader = History(tmp_path, "sim:1"), History(tmp_path, "sim:1")
    ended = threading.Event()

    def write() -> None:
        for h in range(40):
            writer.append_prices(points((A, h, h + 1), (B, h, h + 1)))
            if h % 10 == 9:
                writer.compact()
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = []
        while not ended.is_set() and not writing.done():
            counts = reader.prices().group_by("pool_id").len()["len"].to_list()
            assert len(set(counts)) <= 1
            assert len(counts) in {0, 2}
            seen.append(counts[0] if counts else 0)
        writing.result()
    assert seen == sorted(seen)
    assert reader.prices().height == 80


def test_two_threads_store_a_point_once(history: History) -> None:
    frames = [points(*((A, h, h + 1) for h in range(i, i + 30))) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        stored = sum(result.stored for result in pool.map(history.append_prices, frames))
    assert stored == history.prices().height == 37


def test_another_market_is_refused(history: History) -> None:
    history.append_prices(points((A, 0, 1)))
    with pytest.raises(HistoryMarketMismatch) as caught:
        History(history.root, "aws:123456789012")
    assert (caught.value.found, caught.value.expected) == ("sim:1", "aws:123456789012")


def test_a_newer_release_is_refused(history: History) -> None:
    history.append_prices(points((A, 0, 1)))
    DeltaTable(f"{history.root}/prices").alter.set_table_properties(
        {"cloudoptim.schema_version": "9"}, raise_if_not_exists=False
    )
    with pytest.raises(HistoryTooNew):
        History(history.root, "sim:1")


def test_a_stale_writer_commits_nothing(tmp_path: Path) -> None:
    stale = False

    def fence() -> None:
        if stale:
            raise StaleWriter("gap-filler", 1, 2)

    history = History(tmp_path, "sim:1", fence)
    history.append_prices(points((A, 0, 1)))
    stale = True
    with pytest.raises(StaleWriter):
        history.append_prices(points((A, 1, 1)))
    with pytest.raises(StaleWriter):
        history.append_instance_types(pl.DataFrame([("m5.large", 2, 8192, "x86_64", 0)], INSTANCE_TYPES, orient="row"))
    assert History(tmp_path, "sim:1").prices().height == 1


def test_on_demand_keeps_only_changes(history: History) -> None:
    def price(h: float, micro: int) -> pl.DataFrame:
        return pl.DataFrame([("us-east-1", "m5.large", "Linux/UNIX", hours(h), micro)], ON_DEMAND, orient="row")

    assert [history.append_on_demand(price(h, m)) for h, m in ((0, 96), (1, 96), (2, 97), (3, 0))] == [1, 0, 1, 0]
    assert history.on_demand(Scope(regions=("us-east-1",)))["price_micro_usd"].to_list() == [96, 97]
    assert history.on_demand(Scope(regions=("eu-west-1",))).is_empty()


def test_instance_types_answer_the_last_word(history: History) -> None:
    def one(vcpu: int) -> pl.DataFrame:
        return pl.DataFrame([("m5.large", vcpu, 8192, "x86_64", 0)], INSTANCE_TYPES, orient="row")

    assert [history.append_instance_types(one(v)) for v in (1, 1, 2)] == [1, 0, 1]
    assert history.instance_types()["vcpu"].to_list() == [2]


def test_predictions_are_stored_once_per_origin(history: History) -> None:
    def made(origin: str, h: float) -> pl.DataFrame:
        row = ("m:v1", "spot_price", A, hours(h), hours(h + 1), hours(50), origin, 0.5, 0.9, ["mean_7d"])
        return pl.DataFrame([row], PREDICTIONS, orient="row")

    assert history.append_predictions(made("gap", 1)) == 1
    assert history.append_predictions(pl.concat([made("gap", 1), made("gap", 2), made("live", 1)])) == 2
    assert history.predictions(origin="gap")["as_of"].to_list() == [hours(1), hours(2)]
    assert history.predictions(start=hours(2), model_id="m:v1").height == 1
    assert history.predictions()["imputed"].to_list() == [["mean_7d"]] * 3
