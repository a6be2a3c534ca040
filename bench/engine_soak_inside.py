"""The same soak without a server: `python -m bench.engine_soak_inside [SWAPS]`; real children, store and swaps."""

import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.engine_soak import BUILT_IN, Decision, Soaked, show, table
from engines.catalogue import Catalogue
from engines.host import EngineHost
from engines.intake import EngineOrder
from engines.samples import sample_input
from engines.starting_file import starting_file
from services.composition.engine_desk import Decisions
from services.live.engine_room import EngineRoom
from services.live.engine_swaps import EngineSwaps
from services.live.selection import EngineSelection
from services.models.activation import Activations
from services.models.shelf import Shelf
from services.store.sqlite import SqliteStore

CONNECTIONS = 3


def main() -> None:
    """Run it and print the table."""
    swaps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        soaked = asyncio.run(_soak(Path(folder), swaps))
    show(table(soaked, swaps))


async def _soak(folder: Path, swaps: int) -> Soaked:
    store = SqliteStore(folder / "store.sqlite")
    catalogue, selection, soaked = Catalogue(folder / "engines"), EngineSelection(store), Soaked()
    room = EngineRoom(EngineHost(catalogue), selection)
    text = starting_file("soaked").encode()
    engines = [room.admit(text, EngineOrder("soaked", v, "", "bench")).engine_id for v in ("v1", "v2")] + [BUILT_IN]
    swapping = EngineSwaps(store, selection, catalogue, Shelf(folder / "models"), Activations(store), Decisions(room))
    loads = [threading.Thread(target=_load, args=(room, soaked)) for _ in range(CONNECTIONS)]
    for number in range(swaps + 1):
        began = time.monotonic()
        selected = await swapping.select(engines[number % 3], {}, "bench")
        soaked.swaps.append((began, time.monotonic(), selected.engine_id, selected.generation))
        if number == 0:
            room.start()
            for load in loads:
                load.start()
    soaked.stopped.set()
    for load in loads:
        await asyncio.to_thread(load.join)
    room.stop()
    store.close()
    return soaked


def _load(room: EngineRoom, soaked: Soaked) -> None:
    given = sample_input()
    while not soaked.stopped.is_set():
        asked = time.monotonic()
        try:
            made = room.decide(given).made_by
        except Exception as error:  # noqa: BLE001 - whatever fails is what is looked for
            soaked.failures.append(f"{type(error).__name__}: {error}")
            continue
        assert made is not None
        stood_in = made.stands_in_for.kind if made.stands_in_for else ""
        soaked.decisions.append(Decision(asked, time.monotonic(), made.engine_id, made.generation, stood_in))


if __name__ == "__main__":
    main()
