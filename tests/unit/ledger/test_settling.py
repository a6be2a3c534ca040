"""What became of predictions: prices in force, interruptions, and silence only where somebody held the pool."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from gapfill.frames import EXPOSURES, INTERRUPTIONS, PRICES
from services.live.ledger.exposure import spans
from services.live.ledger.settling import settle
from tests.unit.ledger.ledger_rows import HOUR, NOW, A, B, C, exposures, made, points, predictions, warning

NOBODY = pl.DataFrame(schema=EXPOSURES)
QUIET = pl.DataFrame(schema=INTERRUPTIONS)
NO_PRICES = pl.DataFrame(schema=PRICES)
Told = tuple[str, float | None, float | None, bool]


def outcome(
    row: tuple[object, ...],
    *,
    prices: pl.DataFrame = NO_PRICES,
    events: pl.DataFrame = QUIET,
    held: pl.DataFrame = NOBODY,
    put_at: datetime | None = None,
    now: datetime = NOW + 100 * HOUR,
) -> Told | None:
    confirmed = {"shop": put_at} if put_at else {}
    found = settle(predictions(row), prices, events, spans(held, events, confirmed, now), now)
    return found.select("status", "actual", "naive", "counts").row(0) if found.height else None


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ([(-3, 30_100), (0, 37_900)], ("observed", 0.0379, 0.0379, True)),
        ([(-3, 30_100), (1, 37_900)], ("observed", 0.0379, 0.0301, True)),  # a change exactly at the target counts
        ([(-3, 30_100), (2, 37_900)], ("observed", 0.0301, 0.0301, True)),  # one after it does not
        ([(-24, 30_100)], ("observed", 0.0301, 0.0301, True)),  # 25 h of silence at the target
        ([(-24.5, 30_100)], ("unknown", None, 0.0301, False)),
        ([(0.5, 30_100)], ("observed", 0.0301, None, True)),
        ([(2, 30_100)], ("unknown", None, None, False)),
        ([], ("unknown", None, None, False)),
    ],
)
def test_a_price_is_the_one_in_force_while_it_is_known(prices: list[tuple[float, int]], told: Told) -> None:
    known = points(*((NOW + timedelta(hours=at), micro) for at, micro in prices))
    assert outcome(made("spot_price", NOW), prices=known) == told


HELD = exposures(("i-1", NOW - HOUR, True), ("i-1", NOW + 2 * HOUR, False))


@pytest.mark.parametrize(
    ("events", "held", "told"),
    [
        (QUIET, HELD, ("observed", 0.0, None, True)),
        (QUIET, NOBODY, ("unknown", None, None, False)),
        (QUIET, exposures(("i-1", NOW + 0.1 * HOUR, True)), ("unknown", None, None, False)),
        (QUIET, exposures(("i-1", NOW, True), ("i-1", NOW + 0.9 * HOUR, False)), ("unknown", None, None, False)),
        (warning("e", NOW + 0.5 * HOUR), HELD, ("observed", 1.0, None, True)),
        (warning("e", NOW + HOUR), HELD, ("observed", 1.0, None, True)),
        (warning("e", NOW), exposures(("i-1", NOW - HOUR, True)), ("unknown", None, None, False)),
        (warning("e", NOW + 0.5 * HOUR), NOBODY, ("observed", 1.0, None, False)),  # it happened, but nobody stood there
        (warning("e", NOW + 0.5 * HOUR, pool=B), HELD, ("observed", 0.0, None, True)),
        (warning("e", NOW + 0.5 * HOUR, injected=True), HELD, ("unknown", None, None, False)),
        (warning("e", NOW + 0.5 * HOUR, pool=""), HELD, ("observed", 0.0, None, True)),
    ],
)
def test_silence_counts_only_where_somebody_held_the_pool(events: pl.DataFrame, held: pl.DataFrame, told: Told) -> None:
    assert outcome(made("spot_interruption", NOW), events=events, held=held) == told


def test_a_node_that_takes_over_at_once_keeps_the_pool_held() -> None:
    change = [("i-1", NOW - HOUR, True), ("i-1", NOW + HOUR / 2, False), ("i-2", NOW + HOUR / 2, True)]
    after = [("i-2", NOW + 3 * HOUR, False)]
    assert outcome(made("spot_interruption", NOW), held=exposures(*change, *after)) == ("observed", 0.0, None, True)
    assert outcome(made("spot_interruption", NOW, pool=C), held=exposures(*change, *after)) == (
        "unknown", None, None, False,
    )  # fmt: skip


def test_a_cluster_that_nobody_puts_any_more_stops_to_count() -> None:
    held = exposures(("i-1", NOW - 30 * HOUR, True))
    row = made("spot_interruption", NOW)
    assert outcome(row, held=held, put_at=NOW - HOUR) == ("observed", 0.0, None, True)
    assert outcome(row, held=held, put_at=NOW - 24 * HOUR) == ("unknown", None, None, False)
    assert outcome(row, held=held) == ("unknown", None, None, False)


@pytest.mark.parametrize("task", ["spot_price", "spot_interruption"])
def test_nothing_is_known_before_its_time(task: str) -> None:
    events, held = warning("e", NOW + HOUR / 4), exposures(("i-1", NOW - HOUR, True))
    known = points((NOW - HOUR, 30_000), (NOW + HOUR / 4, 40_000))
    asked = {"prices": known, "events": events, "held": held, "put_at": NOW}
    row = made(task, NOW)
    assert outcome(row, **asked, now=NOW + HOUR - timedelta(microseconds=1)) is None  # type: ignore[arg-type]
    told = outcome(row, **asked, now=NOW + HOUR)  # type: ignore[arg-type]
    assert told is not None
    assert told[0] == "observed"


MINUTES = st.integers(-300, 300).map(lambda n: NOW + timedelta(minutes=n))
POOL = st.sampled_from([A, B, C])


@st.composite
def pasts(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    asked = [
        made(draw(st.sampled_from(["spot_price", "spot_interruption"])), draw(MINUTES), draw(st.integers(1, 4)),
             pool=draw(POOL))
        for _ in range(draw(st.integers(1, 12)))
    ]  # fmt: skip
    told = [
        points((draw(MINUTES), draw(st.integers(1, 9)) * 1000), pool=draw(POOL)) for _ in range(draw(st.integers(0, 9)))
    ]
    struck = [
        warning(f"e{n}", draw(MINUTES), pool=draw(POOL), node=f"i-{n % 3}") for n in range(draw(st.integers(0, 6)))
    ]
    held = [
        exposures((f"i-{draw(st.integers(0, 2))}", draw(MINUTES), draw(st.booleans())), pool=draw(POOL))
        for _ in range(draw(st.integers(0, 9)))
    ]
    return (
        predictions(*asked),
        pl.concat([NO_PRICES, *told]).unique(["pool_id", "at"], keep="first", maintain_order=True),
        pl.concat([QUIET, *struck]),
        pl.concat([NOBODY, *held]).unique(["node_id", "pool_id", "at"], keep="first", maintain_order=True),
    )


@settings(max_examples=25, deadline=None)
@given(pasts(), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    past: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame], chance: object
) -> None:
    now = NOW + 2 * HOUR

    def told(asked: pl.DataFrame, prices: pl.DataFrame, struck: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        return settle(asked, prices, struck, spans(held, struck, {"shop": NOW}, now), now)

    once = told(*past)
    shuffled = [frame.sample(fraction=1.0, shuffle=True, seed=7) for frame in past]
    assert_frame_equal(told(*shuffled), once)
    twice = [pl.concat([past[0], past[0]]), past[1], past[2], pl.concat([past[3], past[3]])]
    assert_frame_equal(told(*twice), once)
    parts = [told(past[0][n : n + 1], *past[1:]) for n in range(past[0].height)]
    assert_frame_equal(pl.concat(parts).unique().sort(once.columns[:4]), once)


@settings(max_examples=25, deadline=None)
@given(pasts())
def test_an_outcome_needs_nothing_of_what_comes_after_its_target(
    past: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    asked, prices, struck, held = past
    now = NOW + 10 * HOUR
    whole = settle(asked, prices, struck, spans(held, struck, {"shop": NOW}, now), now)
    for row in whole.to_dicts():
        until = row["target_at"]
        then = [frame.filter(pl.col("at") <= until) for frame in (prices, struck, held)]
        mine = asked.filter(pl.col("target_at") == until)
        early = settle(mine, then[0], then[1], spans(then[2], then[1], {"shop": NOW}, until), until)
        same = early.filter(*(pl.col(name) == row[name] for name in ("task", "pool_id", "as_of", "target_at")))
        assert same.row(0, named=True) == row
