"""The system calls that a confined child may make: computing, reading, answering, ending; nothing else."""

import errno
import functools
import mmap
import os

try:
    import pyseccomp
except (ImportError, OSError, RuntimeError):
    # No libseccomp on this machine; `available` says so and the tier is C.
    pyseccomp = None

PLAIN = (
    # memory, time and its own threads' locks
    "brk", "munmap", "mremap", "madvise", "futex", "sched_yield", "membarrier", "rseq", "set_robust_list",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "getrusage",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "getrandom",
    # descriptors it has, and looking at files
    "read", "readv", "pread64", "preadv", "write", "writev", "lseek", "close", "close_range", "dup", "fcntl",
    "fstat", "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents64", "getcwd", "poll", "ppoll", "select", "pselect6", "fadvise64",
    # what it is
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "uname", "sysinfo",
    "sched_getaffinity", "getcpu", "getrlimit", "exit", "exit_group",
)  # fmt: skip

# An honest library asks for none of these while it loads or scores; whoever does is stopped at once.
DEADLY = ("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "bpf", "userfaultfd")

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)


def available() -> bool:
    """Whether libseccomp is here."""
    return pyseccomp is not None


def restrict() -> None:
    """Load the filter for this process, for good; what is not allowed fails with EPERM. Raises OSError."""
    rules = prepared()
    # A process may signal its own threads (abort does), and needs its own number for that.
    _add(rules, pyseccomp.ALLOW, "tgkill", pyseccomp.Arg(0, pyseccomp.EQ, os.getpid()))
    rules.load()


@functools.cache
def prepared() -> "pyseccomp.SyscallFilter":
    """The filter but for what depends on the process: a zygote makes it once for all its children."""
    allow, argument = pyseccomp.ALLOW, pyseccomp.Arg
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in PLAIN:
        _add(rules, allow, name)
    for name, position in (("open", 1), ("openat", 2)):
        _add(rules, allow, name, argument(position, pyseccomp.MASKED_EQ, WRITING, 0))
    for name in ("mmap", "mprotect"):
        _add(rules, allow, name, argument(2, pyseccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    _add(rules, allow, "prlimit64", argument(0, pyseccomp.EQ, 0), argument(2, pyseccomp.EQ, 0))
    _add(rules, pyseccomp.ERRNO(errno.ENOTTY), "ioctl")
    # glibc falls back to clone where clone3 is unknown, and takes EPERM there for an answer.
    _add(rules, pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for name in DEADLY:
        _add(rules, pyseccomp.KILL_PROCESS, name)
    return rules


def _add(rules: "pyseccomp.SyscallFilter", action: int, name: str, *arguments: "pyseccomp.Arg") -> None:
    """A call that this architecture does not have needs no rule."""
    try:
        rules.add_rule(action, name, *arguments)
    except (OSError, ValueError, RuntimeError):
        if action == pyseccomp.KILL_PROCESS:
            return
        if name not in ("open", "stat", "lstat", "access", "readlink", "poll", "select", "time", "getrlimit"):
            raise
