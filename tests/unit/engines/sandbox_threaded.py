"""A program whose import starts a thread, as some libraries do; imported in a confined child only."""

import threading

from tests.unit.engines.sandbox_programs import attempt

__all__ = ["attempt"]

_stop = threading.Event()
threading.Thread(target=_stop.wait, daemon=True).start()
