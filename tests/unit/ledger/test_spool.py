"""Served predictions on their way to the history: identical ones once, each segment once, a kill survived."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gapfill.frames import SERVED
from gapfill.history import History
from services.live.experiments.answering import Part
from services.live.facts import score_block
from services.live.ledger.intake import SpoolIntake, Taken
from services.live.ledger.noting import note_answer
from services.live.ledger.spool import MOST_NOTES, Note, Spool
from services.live.predicted import Ask
from tests.unit.live.live_blocks import NOW, POOLS, block, slots, version

SECOND = timedelta(seconds=1)
NEVER_S = 3600.0  # the tests write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history", "sim:1")


def note(price: float = 0.1, seconds: float = 0, *, pools: int = 2, block_s: float = 0) -> Note:
    """An answer of the first pools, `seconds` after 12:30, from data of `block_s` after it."""
    shown = block(pools=POOLS[:pools], price=price)
    told = score_block(shown, slots(version()))["spot_interruption"]
    at = NOW + seconds * SECOND
    return Note(told.version, shown.pool_ids, told.scored, at, at, NOW + block_s * SECOND)


def served(history: History) -> pl.DataFrame:
    return history.ledger.served().collect().sort("pool_id", "as_of", "value")


def test_identical_answers_are_one_row_with_a_count(folder: Path, history: History) -> None:
    written: list[tuple[int, str]] = []
    spool = Spool(folder, lambda number, result: written.append((number, result)), NEVER_S)
    for seconds in (0, 0.2, 0.4):
        spool.note(note(seconds=seconds))
    spool.note(note(seconds=0.5, price=0.2))
    assert spool.flush() == 4
    spool.note(note(seconds=1.3))  # in another segment, of the same data
    spool.note(note(seconds=1.4, block_s=1))  # the same value, but of newer data
    spool.note(replace(note(seconds=1.5), experiment="e", arm="b"))
    spool.flush()
    assert written == [(4, "written"), (3, "written")]
    assert SpoolIntake(folder, history.ledger).take() == Taken(8, 2, 0, NOW + timedelta(hours=6))
    rows = served(history).filter(pl.col("pool_id") == POOLS[0])
    assert rows.select("value", "count", "arm", "as_of").rows() == [
        (0.1, 4, "", NOW),
        (0.2, 1, "", NOW + 0.5 * SECOND),
        (0.1, 1, "", NOW + 1.4 * SECOND),
        (0.1, 1, "b", NOW + 1.5 * SECOND),
    ]
    assert rows["origin"].unique().to_list() == ["served"]
    assert (rows["target_at"] - rows["as_of"]).unique().to_list() == [timedelta(hours=6)]
    assert list(folder.iterdir()) == []
    assert SpoolIntake(folder, history.ledger).take() == Taken()
    assert history.predictions(origin="served").height == 8


def test_a_planned_launch_is_held_against_its_own_time(folder: Path, history: History) -> None:
    spool = Spool(folder, every_s=NEVER_S)
    for seconds in (0, 1):
        spool.note(replace(note(seconds=seconds, pools=1), start=NOW + timedelta(hours=2)))
    spool.flush()
    SpoolIntake(folder, history.ledger).take()
    (row,) = served(history).to_dicts()
    assert (row["as_of"], row["made_at"], row["count"]) == (NOW + timedelta(hours=2), NOW, 2)
    assert row["target_at"] == NOW + timedelta(hours=8)


def test_a_launch_planned_in_another_zone_is_kept_in_utc(folder: Path, history: History) -> None:
    spool = Spool(folder, lambda _number, _result: None, NEVER_S)
    spool.note(replace(note(), start=NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))))
    assert spool.flush() == 2
    SpoolIntake(folder, history.ledger).take()
    assert set(served(history)["as_of"]) == {NOW}


def test_what_nobody_could_predict_is_not_kept(folder: Path, history: History) -> None:
    spool = Spool(folder, every_s=NEVER_S)
    spool.note(note(price=float("nan")))
    spool.note(replace(note(), what_if=np.array([True, False])))
    spool.flush()
    SpoolIntake(folder, history.ledger).take()
    assert served(history).select("pool_id", "what_if").rows() == [(POOLS[0], True), (POOLS[1], False)]


def test_a_spool_is_written_by_itself_and_closed_in_order(folder: Path, history: History) -> None:
    spool = Spool(folder, every_s=0.01)
    spool.note(note())
    spool.close()
    assert SpoolIntake(folder, history.ledger).take() == Taken(2, 1, 0, NOW + timedelta(hours=6))
    assert list(folder.iterdir()) == []


def test_more_than_a_segment_takes_is_dropped_and_counted(folder: Path) -> None:
    told: list[tuple[int, str]] = []
    spool = Spool(folder, lambda number, result: told.append((number, result)), NEVER_S)
    one = note(pools=1)
    for _ in range(MOST_NOTES + 7):
        spool.note(one)
    assert spool.flush() == 1
    assert told == [(7, "dropped"), (MOST_NOTES, "written")]


def test_a_spoilt_segment_is_put_aside(folder: Path, history: History) -> None:
    spool = Spool(folder, every_s=NEVER_S)
    spool.note(note())
    spool.flush()
    (folder / "01AAAA.arrow").write_bytes(b"ARROW1 no")
    assert SpoolIntake(folder, history.ledger).take().rows == 2
    assert [path.name for path in folder.iterdir()] == ["01AAAA.spoilt"]


CHILD = """
    import os, signal, sys
    from pathlib import Path
    from gapfill.history import History
    from services.live.ledger.intake import SpoolIntake

    when, folder, root = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    history = History(root, "sim:1")

    def killed(*_args, **_named):
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "before the append":
        history.ledger.append_served = killed
    if when == "after the append":
        Path.unlink = killed
    if when == "between two deletions":
        unlink, gone = Path.unlink, []
        def once(path, missing_ok=False):
            gone.append(path)
            return unlink(path, missing_ok) if len(gone) == 1 else killed()
        Path.unlink = once
    SpoolIntake(folder, history.ledger).take()
"""


@pytest.mark.parametrize("when", ["before the append", "after the append", "between two deletions"])
def test_a_kill_between_any_two_steps_neither_loses_nor_doubles(
    folder: Path, history: History, tmp_path: Path, when: str
) -> None:
    spool = Spool(folder, every_s=NEVER_S)
    for seconds in (0.0, 1.0, 2.0):
        spool.note(note(seconds=seconds, block_s=seconds))
        spool.flush()
    command = [sys.executable, "-c", textwrap.dedent(CHILD), when, str(folder), str(tmp_path / "history")]
    child = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    spool.note(note(seconds=3.0, block_s=3.0))  # the server that comes back answers before the loop looks
    spool.flush()
    SpoolIntake(folder, history.ledger).take()
    rows = served(history)
    assert rows.group_by("pool_id").agg(pl.col("count").sum()).sort("pool_id").rows() == [(p, 4) for p in POOLS[:2]]
    assert not rows.select(pl.exclude("batch")).is_duplicated().any()
    assert [path for path in folder.iterdir() if path.suffix in (".arrow", ".batch")] == []


def test_a_process_that_was_killed_is_counted_once(folder: Path, history: History) -> None:
    folder.mkdir()
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    (folder / "01A.open").write_text(f"{os.uname().nodename} {dead.stdout.strip()}")
    (folder / "01B.open").write_text(f"{os.uname().nodename} {os.getpid()}")
    (folder / "01C.open").write_text("another-host 1")
    intake = SpoolIntake(folder, history.ledger)
    assert [intake.take().killed for _ in range(2)] == [1, 0]
    os.utime(folder / "01C.open", (0, 0))
    assert intake.take().killed == 1
    assert [path.name for path in folder.iterdir()] == ["01B.open"]


def test_the_batch_of_a_row_is_stored_once(history: History) -> None:
    row: tuple[object, ...] = (
        "m:v1",
        "spot_interruption",
        POOLS[0],
        NOW,
        NOW,
        NOW,
        "served",
        0.5,
        1.0,
        [],
        "",
        "",
        3,
        False,
        "b1",
    )
    rows = pl.DataFrame([row], schema=SERVED, orient="row")
    assert [history.ledger.append_served(rows) for _ in range(2)] == [1, 0]


def test_an_answer_is_worked_out_when_it_is_written(folder: Path, history: History) -> None:
    shown = block(price=0.1)
    places = np.array([0, 2])
    told = score_block(shown, slots(version()), places)["spot_interruption"]
    part = Part(slots(version()).lend("spot_interruption").__enter__(), told.scored, np.arange(2), "e1", "b")
    spool = Spool(folder, every_s=NEVER_S)
    asked = Ask("m5.large", "eu-west-1")
    for ask, seconds in (
        (asked, 0), (asked, 1), (asked, 31 * 60), (replace(asked, spot_price=0.104), 2),
        (replace(asked, spot_price=0.2), 3), (replace(asked, launch_time=NOW + timedelta(hours=1)), 4),
    ):  # fmt: skip
        note_answer(spool, ask, shown, places, [part], NOW + seconds * SECOND)
    spool.flush()
    SpoolIntake(folder, history.ledger).take()
    rows = served(history).filter(pl.col("pool_id") == POOLS[2]).sort("made_at", "what_if")
    assert served(history)["pool_id"].unique().sort().to_list() == [POOLS[0], POOLS[2]]
    assert rows.select("as_of", "count", "what_if", "experiment", "arm").rows() == [
        (NOW, 4, False, "e1", "b"),  # the same value, whatever the question was
        (NOW + 3 * SECOND, 1, True, "e1", "b"),
        (NOW + timedelta(hours=1), 1, False, "e1", "b"),
    ]
