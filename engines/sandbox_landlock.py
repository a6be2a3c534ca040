"""Landlock: what files, ports and processes a child may reach, without any privilege (Linux 5.13 and later)."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
VERSION_FLAG = 1
PATH_BENEATH = 1

READ_FILE, READ_DIR = 1 << 2, 1 << 3
# How many of the file rights (linux/landlock.h, LANDLOCK_ACCESS_FS_*) each ABI knows.
FILE_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
FILE_RIGHTS = 16
NETWORK_SINCE, SCOPE_SINCE = 4, 6
TCP_BIND_CONNECT = 0b11
SIGNALS_AND_ABSTRACT_SOCKETS = 0b11

LIBC = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    return max(0, int(LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_FLAG))))


def restrict(readable: Iterable[Path]) -> None:
    """Deny this thread every file but reading beneath `readable`, TCP, and signals to others; for good.

    `no_new_privs` must be set, and the process must have this one thread only. Raises OSError.
    """
    version = abi()
    files = (1 << FILE_RIGHTS_OF_ABI.get(version, FILE_RIGHTS)) - 1
    fields = [files]
    if version >= NETWORK_SINCE:
        fields.append(TCP_BIND_CONNECT)
    if version >= SCOPE_SINCE:
        fields.append(SIGNALS_AND_ABSTRACT_SOCKETS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _checked(LIBC.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _checked(LIBC.syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    try:
        rights = READ_FILE | READ_DIR if path.is_dir() else READ_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        _checked(LIBC.syscall(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0)))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
