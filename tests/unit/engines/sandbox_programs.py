"""What a hostile program would try, for the tests of the confined child; imported there, never run here."""

import ctypes
import os
import socket
import sys
import threading
from pathlib import Path

kept: list[bytearray] = []


def attempt(request: bytes) -> bytes:
    """Run the attempt whose name the request holds; its answer says how far it came."""
    name, _, argument = request.decode().partition(" ")
    return ATTEMPTS[name](argument).encode()


def read_file(path: str) -> str:
    return Path(path).read_text()


def write_file(path: str) -> str:
    Path(path).write_text("was here")
    return "written"


def remove_file(path: str) -> str:
    Path(path).unlink()
    return "removed"


def open_socket(_: str) -> str:
    with socket.socket():
        return "open"


def fork(_: str) -> str:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return "forked"


def thread(_: str) -> str:
    worker = threading.Thread(target=int)
    worker.start()
    worker.join()
    return "started"


def execute(_: str) -> str:
    os.execv("/bin/true", ["true"])


def signal_parent(_: str) -> str:
    os.kill(os.getppid(), 0)
    return "reached"


def crash(_: str) -> str:
    ctypes.string_at(0)
    return "survived"


def loop(_: str) -> str:
    while True:
        pass


def eat_memory(size: str) -> str:
    kept.append(bytearray(int(size)))
    return "eaten"


def talk(size: str) -> str:
    return "x" * int(size)


def complain(size: str) -> str:
    sys.stderr.write("y" * int(size))
    sys.stdout.write("stray output")
    sys.stdout.flush()
    return "complained"


def leave(_: str) -> str:
    os._exit(3)


def environment(_: str) -> str:
    return " ".join(sorted(os.environ))


def descriptors(_: str) -> str:
    return str(sum(_is_open(number) for number in range(256)))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def rewind(descriptor: str) -> str:
    os.lseek(int(descriptor), 0, os.SEEK_SET)
    return os.read(int(descriptor), 100).decode()


ATTEMPTS = {
    function.__name__: function
    for function in (
        *(read_file, write_file, remove_file, open_socket, fork, thread, execute, signal_parent, crash, loop),
        *(eat_memory, talk, complain, leave, environment, descriptors, rewind),
    )
}
