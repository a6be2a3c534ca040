"""Engines that attack the server, as bodies of `decide`; what becomes of each stands beside it."""

from dataclasses import dataclass

# An engine that gets through its attempt says so by this, and never by holding.
SUCCEEDED = "raise RuntimeError('it succeeded')"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Lines of `decide`, the kinds of failure it may end as, and words that the failure then has one of.

    `{canary}` is a file that is not there, `{secret}` one with a secret, `{server}` the server's process.
    """

    lines: tuple[str, ...]
    kinds: tuple[str, ...] = ("raised",)
    words: tuple[str, ...] = ("Permission", "Operation not permitted")


def attempt(*lines: str) -> Attempt:
    """One that is told it may not."""
    return Attempt((*lines, SUCCEEDED))


def deadly(*lines: str) -> Attempt:
    """One that is stopped at once."""
    return Attempt((*lines, SUCCEEDED), ("forbidden",), ("start a program or to look into another process",))


def syscall(number: int, *arguments: str) -> tuple[str, ...]:
    """A system call without any library between (x86-64's numbers)."""
    called = ", ".join((str(number), *arguments))
    return (
        "import ctypes, os",
        "libc = ctypes.CDLL(None, use_errno=True)",
        f"if libc.syscall({called}) < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))",
    )


READING: dict[str, Attempt] = {
    "a file of the system": attempt("open('/etc/passwd').read()"),
    "a file of the server": attempt("open('{secret}').read()"),
    "a folder": attempt("import os", "os.listdir('/etc')"),
    "the server's environment": attempt("open('/proc/{server}/environ').read()"),
    "the server's memory": attempt("open('/proc/{server}/mem', 'rb').read(1)"),
    "the server's descriptors": attempt("import os", "os.listdir('/proc/{server}/fd')"),
    "its own descriptors by name": attempt("open('/proc/self/fd/0').read()"),
    "the server's code": attempt("open(__import__('engines').__path__[0] + '/../services/settings.py').read()"),
    "the server as a module": Attempt(
        ("__import__('services.settings')", SUCCEEDED), words=("Permission", "No module named 'services")
    ),
    "the disk itself": attempt("import glob", "open((glob.glob('/dev/vd*') + ['/dev/kmsg'])[0], 'rb').read(1)"),
}

WRITING: dict[str, Attempt] = {
    "a file": attempt("open('{canary}', 'w')"),
    "a file by another call": attempt("import os", "os.open('{canary}', os.O_CREAT | os.O_RDWR)"),
    "a temporary file": Attempt(
        ("import tempfile", "tempfile.TemporaryFile()", SUCCEEDED), words=("Permission", "No usable temporary")
    ),
    "a folder": attempt("import os", "os.mkdir('{canary}')"),
    "a link": attempt("import os", "os.symlink('/etc/passwd', '{canary}')"),
    "a pipe": attempt("import os", "os.mkfifo('{canary}')"),
    "over a file": attempt("import os", "os.truncate('{secret}', 0)"),
    "a file away": attempt("import os", "os.unlink('{secret}')"),
    "a file to another name": attempt("import os", "os.rename('{secret}', '{canary}')"),
    "a file's mode": attempt("import os", "os.chmod('{secret}', 0o777)"),
    "a file in memory": attempt("import os", "os.memfd_create('x')"),
    "shared memory": Attempt(
        ("from multiprocessing import shared_memory", "shared_memory.SharedMemory('x', True, 10)", SUCCEEDED),
        words=("Permission", "not permitted", "not implemented"),
    ),
    "a database": Attempt(
        ("import sqlite3", "sqlite3.connect('{canary}').execute('create table t (x)')", SUCCEEDED),
        words=("unable to open",),
    ),
}

CALLING: dict[str, Attempt] = {
    "a server": attempt("import socket", "socket.create_connection(('127.0.0.1', {port}))"),
    "a port": attempt("import socket", "socket.create_server(('127.0.0.1', 0))"),
    "a datagram": attempt("import socket", "socket.socket(type=socket.SOCK_DGRAM)"),
    "a local socket": attempt("import socket", "socket.socket(socket.AF_UNIX)"),
    "a pair of sockets": attempt("import socket", "socket.socketpair()"),
    "the kernel": attempt("import socket", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    "a name": Attempt(
        ("import socket", "socket.getaddrinfo('example.com', 80)", SUCCEEDED), words=("gaierror", "Permission")
    ),
    "an address": Attempt(
        ("import urllib.request", "urllib.request.urlopen('http://127.0.0.1:{port}/')", SUCCEEDED),
        words=("not permitted", "Permission"),
    ),
}

PROCESSES: dict[str, Attempt] = {
    "fork": attempt("import os", "os.fork()"),
    "a program": Attempt(
        ("import subprocess", "subprocess.run(['touch', '{canary}'])", SUCCEEDED),
        ("raised", "forbidden"),
        ("Permission", "not permitted", "start a program"),
    ),
    "a shell": Attempt(
        ("import os", "assert os.system('touch {canary}') != 0", "raise OSError('Permission denied')"),
        ("raised", "forbidden"),
        ("Permission", "start a program"),
    ),
    "exec": deadly("import os", "os.execv('/bin/touch', ['touch', '{canary}'])"),
    "exec by descriptor": deadly(*syscall(322, "-1", "b''", "None", "None", "0")),
    "spawn": Attempt(
        ("import os", "os.posix_spawn('/bin/touch', ['touch', '{canary}'], {{}})", SUCCEEDED),
        ("raised", "forbidden"),
        ("Permission", "not permitted", "start a program"),
    ),
    "a thread": Attempt(
        ("import threading", "threading.Thread(target=print).start()", SUCCEEDED), words=("can't start new thread",)
    ),
    "a pool of processes": Attempt(
        ("import multiprocessing", "multiprocessing.get_context('fork').Process(target=print).start()", SUCCEEDED),
        words=("Permission", "not permitted"),
    ),
    "clone": attempt(*syscall(56, "17", "0", "0", "0", "0")),
    "ptrace": deadly(*syscall(101, "16", "{server}", "0", "0")),
    "reading a process": deadly(*syscall(310, "{server}", "0", "0", "0", "0", "0")),
    "writing a process": deadly(*syscall(311, "{server}", "0", "0", "0", "0", "0")),
    "programs in the kernel": deadly(*syscall(321, "0", "0", "0")),
    "faults of its own": deadly(*syscall(323, "0")),
    "a signal to the server": attempt("import os", "os.kill({server}, 9)"),
    "a signal to its parent": attempt("import os", "os.kill(os.getppid(), 9)"),
    "a signal to all": attempt("import os", "os.kill(-1, 9)"),
    "a signal to its group": attempt("import os", "os.killpg(0, 9)"),
    "a signal by descriptor": attempt(*syscall(434, "{server}", "0")),
    "a signal to a thread": attempt(*syscall(234, "{server}", "{server}", "9")),
    "rings of requests": attempt(*syscall(425, "8", "0")),
    "namespaces": attempt("import ctypes", *syscall(272, "0x10000000")),
    "a mount": attempt(*syscall(165, "b'x'", "b'/'", "b'tmpfs'", "0", "0")),
    "keys": attempt(*syscall(250, "0", "0", "0")),
    "a handle to a file": attempt(*syscall(304, "-1", "0", "0")),
    "another user": attempt("import os", "os.setuid(1)"),
    "its own tracing": attempt(*syscall(157, "4", "1", "0", "0", "0")),
    "its death with the server": attempt(*syscall(157, "1", "0", "0", "0", "0")),
    "new code": attempt("import mmap", "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"),
    "its own limits": Attempt(
        ("import resource", "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", SUCCEEDED),
        words=("Permission", "not permitted", "not allowed"),
    ),
    "another's priority": attempt("import os", "os.setpriority(os.PRIO_PROCESS, {server}, 19)"),
    "the clock": attempt("import time", "time.clock_settime(time.CLOCK_REALTIME, 0)"),
}

EXHAUSTING: dict[str, Attempt] = {
    "memory at once": Attempt(("x = bytearray(4 * 2**30)",), ("out_of_memory",), ("MiB of memory",)),
    "memory bit by bit": Attempt(
        ("x = []", "while True:", "    x.append(bytearray(2**22))"), ("out_of_memory",), ("MiB of memory",)
    ),
    "the processor": Attempt(("while True:", "    pass",), ("timed_out",), ("did not answer within",)),
    "the processor within C": Attempt(
        ("import re", "re.match('(a+)+$', 'a' * 40 + 'b')",), ("timed_out",), ("did not answer within",)
    ),
    "patience": Attempt(("import time", "time.sleep(3600)",), ("timed_out",), ("did not answer within",)),
    "patience, whatever is raised": Attempt(
        ("import signal, time", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "time.sleep(3600)"),
        ("timed_out",),
        ("did not answer within",),
    ),
    "descriptors": Attempt(("import os", "while True:", "    os.dup(0)"), words=("Too many open files",)),
    "its own stack": Attempt(("def f(): return f()", "f()"), words=("RecursionError",)),
    "its own stack within C": Attempt(
        ("import sys", "sys.setrecursionlimit(10**9)", "x = ()", "for _ in range(10**6): x = (x,)", "hash(x)"),
        ("crashed",),
        ("SIGSEGV",),
    ),
    "the answer": Attempt(
        ("return DecisionOutput.model_construct(as_of='x' * 10**8, decisions=())",),
        ("too_large", "out_of_memory", "crashed"),  # Rust ends the process where it finds no memory
        ("MiB", "SIGABRT"),
    ),
}  # fmt: skip

ENDING: dict[str, Attempt] = {
    "an exit": Attempt(("import os", "os._exit(0)"), ("crashed",), ("exit code 0",)),
    "an abort": Attempt(("import os", "os.abort()"), ("crashed",), ("SIGABRT",)),
    "a null pointer": Attempt(("import ctypes", "ctypes.string_at(0)"), ("crashed",), ("SIGSEGV",)),
    "a key press": Attempt(("raise KeyboardInterrupt",), ("raised", "crashed"), ("KeyboardInterrupt", "exit code")),
    "an end of the generator kind": Attempt(("raise GeneratorExit",), ("raised", "crashed"), ("Generator", "exit")),
    "closed pipes": Attempt(("import os", "os.closerange(0, 256)"), ("crashed", "raised"), ("exit code", "Bad file")),
    "noise in the pipe": Attempt(
        ("import os", "for fd in range(3, 64):", "    try: os.write(fd, b'?' * 4096)", "    except OSError: pass",
         "return hold_everything(given)"),
        ("too_large", "no_decision", "crashed"), ("",),
    ),
    "a forged answer": Attempt(
        ("import os, struct", "for fd in range(3, 64):",
         "    try: os.write(fd, struct.pack('>cQ', b'r', 2) + b'{{}}')", "    except OSError: pass"),
        ("no_decision",), ("is no decision",),
    ),
    "an answer of a kind that is none": Attempt(
        ("import os, struct", "for fd in range(3, 64):",
         "    try: os.write(fd, struct.pack('>cQ', b'!', 9) + b'A' * 9)", "    except OSError: pass"),
        ("raised", "no_decision"), ("",),
    ),
}  # fmt: skip

GARBAGE: dict[str, Attempt] = {
    "nothing": Attempt(("return None",), words=("no DecisionOutput",)),
    "a class": Attempt(("return DecisionOutput",), words=("no DecisionOutput",)),
    "a dictionary": Attempt(("return {{'decisions': []}}",), words=("no DecisionOutput",)),
    "a generator": Attempt(("yield hold_everything(given)",), words=("no DecisionOutput",)),
    "no numbers": Attempt(
        ("d = hold_everything(given).decisions[0]",
         "a = d.recommendations[0].model_copy(update={{'score': float('nan')}})",
         "c = d.model_copy(update={{'recommendations': (a,)}})",
         "return hold_everything(given).model_copy(update={{'decisions': (c,)}})"),
        ("no_decision",), ("is no decision",),
    ),
    "text that nests": Attempt(
        ("class D(DecisionOutput):", "    def model_dump_json(self, **_): return '[' * 200_000",
         "return D(**hold_everything(given).model_dump())"),
        ("no_decision",), ("is no decision",),
    ),
    "bytes that are no text": Attempt(
        ("class D(DecisionOutput):", "    def model_dump_json(self, **_): return b'\\\\xff\\\\xfe' * 9",
         "return D(**hold_everything(given).model_dump())"),
        ("raised", "no_decision"), ("",),
    ),
    "a million decisions": Attempt(
        ("d = hold_everything(given)", "return d.model_copy(update={{'decisions': (None,) * 1_000_000}})"),
        ("no_decision", "too_large", "timed_out"), ("",),
    ),
    "an answer to another question": Attempt(
        ("import datetime", "return DecisionOutput.model_construct(as_of='yesterday', decisions=())"),
        ("no_decision",), ("is no decision",),
    ),
}  # fmt: skip

ALL: dict[str, Attempt] = {
    f"{group}: {name}": found
    for group, attempts in {
        "reads": READING,
        "writes": WRITING,
        "calls": CALLING,
        "starts": PROCESSES,
        "exhausts": EXHAUSTING,
        "ends by": ENDING,
        "answers": GARBAGE,
    }.items()
    for name, found in attempts.items()
}
# What seccomp and limits hold without Landlock.
WITHOUT_LANDLOCK = {name: found for name, found in ALL.items() if name.startswith(("writes", "calls", "starts"))}

# Whole files, for what strikes before `decide`.
LOADING: dict[str, str] = {
    "an exit": "import os\nos._exit(0)\n",
    "an endless loop": "while True:\n    pass\n",
    "a program": "import os\nos.execv('/bin/true', ['true'])\n",
    "a file": "open('{canary}', 'w')\n",
    "a crash": "import ctypes\nctypes.string_at(0)\n",
    "memory": "x = bytearray(4 * 2**30)\n",
    "an exception": "raise ValueError('no')\n",
}
