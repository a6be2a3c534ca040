"""What can become of a program in a confined child.

SandboxError
├── ConfinementFailed    the child could not be started or confined, so the program was not run
├── ProgramRaised        the program raised an exception; the child lives on
├── ChildOutOfMemory     the program wanted more memory than it may have; the child lives on
├── ChildCrashed         the child ended by a signal or an exit
├── ChildForbidden       it was killed for a system call that no honest program makes
├── ChildTimedOut        it ran longer than its wall or processor time, and was killed
└── OutputTooLarge       it answered with more bytes than allowed, and was killed
"""


class SandboxError(Exception):
    """The root of this room's errors."""


class ConfinementFailed(SandboxError):
    """No confined child could be made; `detail` says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ProgramRaised(SandboxError):
    """The program raised an exception of the type named `kind`, with the text `detail`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class ChildOutOfMemory(SandboxError):
    """The program may use `limit_bytes` beyond what it started with."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class ChildCrashed(SandboxError):
    """The child is gone; `how` names the signal or exit code, `stderr` is the end of what it wrote there."""

    def __init__(self, how: str, stderr: str) -> None:
        super().__init__(how, stderr)
        self.how = how
        self.stderr = stderr


class ChildForbidden(SandboxError):
    """The child tried what only an attack would: to start another program, or to look into another process."""


class ChildTimedOut(SandboxError):
    """The child ran for more than `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class OutputTooLarge(SandboxError):
    """The child's answer is over `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes
