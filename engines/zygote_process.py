"""What runs in a zygote: import once, then fork a child for each order; it never sees an upload.

An order is one packet of the control socket: JSON, with the child's pipes, the end of a pipe for the report, and
the files for the child as descriptors. The answer is JSON: `{"pid": …}` with a pidfd, or `{"error": text}`. When
a child ends, its return code goes into its report pipe as text.
"""

import fcntl
import gc
import json
import os
import select
import socket
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engines import sandbox_child, sandbox_seccomp
from engines.sandbox_confine import die_with_parent, drop_capabilities, forbid_new_privileges, refuse_inspection

MOST_FILES = 64
PACKET_BYTES = 65_536
OWN = 4  # descriptors of an order before the files: stdin, stdout, stderr, report


def main(root: str, parent: int, control: int, modules: str) -> None:
    """Serve until the control socket closes; `modules` are names that commas separate."""
    die_with_parent(parent)
    # After this no child can gain what the zygote has not, and none can look into it.
    forbid_new_privileges()
    refuse_inspection()
    with socket.socket(fileno=control) as server:
        try:
            sandbox_child.warm([name for name in modules.split(",") if name])
        except Exception:  # noqa: BLE001 - a library may raise anything as it is imported
            server.send(json.dumps({"error": traceback.format_exc()[-2000:]}).encode())
            return
        drop_capabilities()
        if sandbox_seccomp.available():
            sandbox_seccomp.prepared()
        settle()
        server.send(b"{}")
        Zygote(root, server).run()


def settle() -> None:
    """Keep the collector from writing to what children share with this process."""
    gc.collect()
    gc.freeze()


@dataclass(slots=True)
class Zygote:
    """The loop: orders from the server, and ends of children."""

    root: str
    server: socket.socket
    packages: list[Path] = field(default_factory=list)
    children: dict[int, tuple[int, int]] = field(default_factory=dict)  # pidfd → (pid, report)

    def run(self) -> None:
        """Serve; returns when the server has closed its end, and takes the children along."""
        while True:
            poll = select.poll()
            for descriptor in (self.server.fileno(), *self.children):
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll():
                if descriptor in self.children:
                    self._reap(descriptor)
                elif not self._order():
                    return

    def _order(self) -> bool:
        try:
            packet, descriptors, _, _ = socket.recv_fds(
                self.server, PACKET_BYTES, MOST_FILES + OWN, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return False
        if not packet:
            return False
        report = descriptors[OWN - 1]
        try:
            order = json.loads(packet)
            self._import(order["target"])
            pid = self._fork(order, descriptors)
        except Exception as error:  # noqa: BLE001 - whatever an import raises is told
            os.close(report)
            self.server.send(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}).encode())
            return True
        finally:
            for descriptor in [*descriptors[: OWN - 1], *descriptors[OWN:]]:
                os.close(descriptor)
        pidfd = os.pidfd_open(pid)
        self.children[pidfd] = (pid, report)
        socket.send_fds(self.server, [json.dumps({"pid": pid}).encode()], [pidfd])
        return True

    def _import(self, target: str) -> None:
        """A target is our own code: the second child that serves it finds it imported."""
        if target.partition(":")[0] not in sys.modules:
            sandbox_child.program_of(target)
            sandbox_child.warm([])
            self.packages = sandbox_child.packages_in_use(self.root)
            settle()

    def _fork(self, order: sandbox_child.Order, descriptors: list[int]) -> int:
        zygote = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            # Neither the death signal nor the session is inherited as a child needs it.
            die_with_parent(zygote)
            os.setsid()
            _place([*descriptors[: OWN - 1], *descriptors[OWN:]], [0, 1, 2, *order["files"]])
            sandbox_child.serve(order, self.packages)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
            os.write(2, traceback.format_exc()[-4000:].encode(errors="replace"))
        finally:
            os._exit(code)

    def _reap(self, pidfd: int) -> None:
        pid, report = self.children.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):  # the server did not wait for it
            os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(report)
        os.close(pidfd)


def _place(descriptors: list[int], numbers: list[int]) -> None:
    """Put each descriptor at its number; the detour above them all keeps one from being overwritten by another."""
    above = max(*numbers, *descriptors) + 1
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in descriptors]
    for descriptor, number in zip(moved, numbers, strict=True):
        os.dup2(descriptor, number)
