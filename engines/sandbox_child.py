"""What runs in a confined child: import, shut the door, then answer requests until the pipe closes.

Started as `python -I -c "…main(root, parent)"` by `ConfinedChild`, never imported by the server.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from engines import sandbox_wire as wire
from engines.sandbox_confine import close_all_but, confine, die_with_parent
from engines.sandbox_limits import Limits, Tier

DETAIL_LIMIT = 4000

Program = Callable[[bytes], bytes]


def main(root: str, parent: int) -> None:
    """Serve one program; the first frame says which, with what imports and limits."""
    die_with_parent(parent)
    requests, answers = _own_pipes()
    _, body = wire.receive(requests, 1024**2)
    order = json.loads(body)
    for module in order["warm"]:
        importlib.import_module(module)
    module, _, name = order["target"].partition(":")
    program: Program = getattr(importlib.import_module(module), name)
    packages = [path for path in Path(root).iterdir() if (path / "__init__.py").exists()]
    files: list[int] = order["files"]
    close_all_but([0, 1, 2, requests, answers, *files])
    limits = Limits(memory_bytes=order["memory_bytes"], cpu_s=order["cpu_s"])
    tier = confine(limits, packages, Tier(order["most"]))
    wire.send(answers, wire.HELLO, json.dumps({"tier": tier}).encode())
    _serve(program, requests, answers)


def _own_pipes() -> tuple[int, int]:
    """Keep the pipes where a stray print does not reach them: stdin becomes empty, stdout goes to stderr."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, answers


def _serve(program: Program, requests: int, answers: int) -> None:
    while True:
        try:
            _, request = wire.receive(requests, sys.maxsize)
        except wire.PipeClosed:
            return
        try:
            kind, answer = wire.RESULT, program(request)
        except MemoryError:
            kind, answer = wire.OUT_OF_MEMORY, b""
        except Exception as error:  # noqa: BLE001 - whatever the program raises is its answer
            kind, answer = wire.RAISED, f"{type(error).__name__}\n{error}".encode(errors="replace")[:DETAIL_LIMIT]
        wire.send(answers, kind, answer)
