"""What runs in a confined child: import, shut the door, then answer requests until the pipe closes.

Started as `python -c "…main(root, parent)"` by `ConfinedChild`, or forked by a zygote; never imported by the server.
"""

import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engines import sandbox_wire as wire
from engines.sandbox_confine import close_all_but, confine, die_with_parent, threads
from engines.sandbox_limits import Limits, Tier

DETAIL_LIMIT = 4000

Program = Callable[[bytes], bytes]
Order = dict[str, Any]


def main(root: str, parent: int) -> None:
    """Serve one program, cold; the first frame is the order, which says which, with what imports and limits."""
    die_with_parent(parent)
    requests, answers = _own_pipes()
    _, body = wire.receive(requests, 1024**2)
    order: Order = json.loads(body)
    warm(order["warm"])
    program_of(order["target"])
    packages = packages_in_use(root)
    _leave_threads_behind()
    _confine_and_serve(order, packages, requests, answers)


def serve(order: Order, packages: list[Path]) -> None:
    """The same in a process that a zygote has forked, with the order known and the pipes at 0, 1 and 2."""
    requests, answers = _own_pipes()
    _confine_and_serve(order, packages, requests, answers)


def packages_in_use(root: str) -> list[Path]:
    """Our own packages that what is imported is made of; a child may read no other of ours."""
    names = {name.partition(".")[0] for name in sys.modules}
    return [path for path in Path(root).iterdir() if path.name in names and (path / "__init__.py").exists()]


def warm(modules: list[str]) -> None:
    """Import, and ask once what cannot be asked from inside."""
    for module in modules:
        importlib.import_module(module)
    if joblib := sys.modules.get("joblib"):
        joblib.cpu_count()  # reads the cgroup's files,
        joblib.cpu_count(only_physical_cores=True)  # and this one starts a program; both answers are kept


def program_of(target: str) -> Program:
    """The function that "module:function" names."""
    module, _, name = target.partition(":")
    program: Program = getattr(importlib.import_module(module), name)
    return program


def _leave_threads_behind() -> None:
    """Go on as a child when an import has started a thread, which Landlock would not cover (onnxruntime does).

    The process that was stays, to end as its child does.
    """
    if threads() == 1:
        return
    stays = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(stays)
        return
    close_all_but([])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(stays, -code)
    os._exit(code)


def _confine_and_serve(order: Order, packages: list[Path], requests: int, answers: int) -> None:
    program = program_of(order["target"])
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
