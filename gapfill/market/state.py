"""What a market keeps across restarts: whose it is, its pace, its shift and the prices that were forced."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from gapfill.market.errors import StateMismatch


@dataclass(frozen=True, slots=True)
class ForcedPoint:
    """From `at` (seconds) on a pool costs `price` (micro-USD); when not `held`, its own path goes on from there."""

    pool_id: str
    at: int
    price: int
    held: bool


@dataclass(slots=True)
class MarketState:
    """The state of one market; `folder` None keeps it in memory only."""

    folder: Path | None = None
    market: str = ""
    paces: list[tuple[int, float]] = field(default_factory=list)
    shift_weeks: int | None = None
    forced: list[ForcedPoint] = field(default_factory=list)

    def save(self) -> None:
        """Write it whole: a reader sees the old state or the new one."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = {
            "market": self.market,
            "paces": self.paces,
            "shift_weeks": self.shift_weeks,
            "forced": [[one.pool_id, one.at, one.price, one.held] for one in self.forced],
        }
        draft = self.folder / "market.json.new"
        with draft.open("w") as file:
            json.dump(whole, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / "market.json")


def open_state(folder: Path | None, market: str) -> MarketState:
    """The state kept in `folder` for `market` (`sim:<seed>` or `replay:<sha>`), new where there is none.

    Raises StateMismatch when the folder belongs to another market.
    """
    path = None if folder is None else folder / "market.json"
    if path is None or not path.exists():
        state = MarketState(folder, market)
        state.save()
        return state
    kept = json.loads(path.read_text())
    if kept["market"] != market:
        raise StateMismatch(str(folder), kept["market"], market)
    return MarketState(
        folder,
        market,
        [(int(at), float(factor)) for at, factor in kept["paces"]],
        kept["shift_weeks"],
        [ForcedPoint(*one) for one in kept["forced"]],
    )
