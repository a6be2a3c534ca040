"""Shuts the process it runs in, for good: limits, privileges, files, system calls."""

import ctypes
import math
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from engines import sandbox_landlock, sandbox_seccomp
from engines.sandbox_limits import Limits, Tier

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38  # linux/prctl.h
CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h

LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Be killed when the thread that started this process ends; end now when the process `parent` has gone already."""
    _checked(LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def refuse_inspection() -> None:
    """Let no process of the same user trace this one or read its memory (a server calls this too)."""
    _checked(LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))


def forbid_new_privileges() -> None:
    """No program that is started from here on gets more than this process has."""
    _checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def drop_capabilities() -> None:
    """Root without capabilities is an ordinary user who owns root's files."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    _checked(LIBC.capset(header, bytes(24)))


def confine(limits: Limits, packages: Iterable[Path], most: Tier) -> Tier:
    """Confine this process as far as the machine allows, at most to the tier `most`; the tier reached.

    `packages` are the folders besides Python's own that may be read. Raises OSError when a step that the machine
    offers fails: better no child than half a confined one.
    """
    _limit(limits)
    drop_capabilities()
    forbid_new_privileges()
    refuse_inspection()
    files = most is Tier.A and sandbox_landlock.abi() > 0 and threads() == 1
    calls = most is not Tier.C and sandbox_seccomp.available()
    if files:
        sandbox_landlock.restrict([*_python_folders(packages), Path("/sys/fs/cgroup"), Path("/usr/share/zoneinfo")])
    if calls:
        sandbox_seccomp.restrict()
    if files and calls:
        return Tier.A
    return Tier.B if calls else Tier.C


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor that is not in `keep`."""
    kept = sorted(set(keep))
    for low, high in zip([-1, *kept], [*kept, 1_048_576], strict=True):
        if low + 1 < high:  # an empty range at 0 closes everything in CPython
            os.closerange(low + 1, high)


def threads() -> int:
    """How many threads this process has."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def _limit(limits: Limits) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # pipes are not files to it
    highest = max(int(name) for name in os.listdir("/proc/self/fd")) + 16  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
    if limits.cpu_s is not None:
        used = math.ceil(time.process_time())  # the kernel counts the imports too
        resource.setrlimit(resource.RLIMIT_CPU, (used + limits.cpu_s, used + limits.cpu_s + 1))


def _python_folders(packages: Iterable[Path]) -> list[Path]:
    own = [Path(entry) for entry in sys.path if entry and Path(entry).is_absolute()]
    roots = {package.parent for package in packages}
    return [*(entry for entry in own if entry not in roots), *packages]


def _checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
