"""The registry's writer is killed before every file operation; readers and the next start find all or nothing."""

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from bentoml._internal.models import ModelStore

from services.models.registry import Registry
from services.models.shelf import Shelf
from tests.unit.models.test_registry import add
from tests.unit.models.upload_steps import left_behind

MODULES = ("posix", "_io", "io", "fcntl")
# These change nothing on the disk: a kill before one of them is a kill before the next that does.
LOOKING = """
    _abspath access cpu_count fspath fstat get_terminal_size getcwd getcwdb getegid geteuid getgid getpid getppid
    getuid isatty is_dir is_file is_symlink kill listdir listxattr lseek lstat read readall readinto readline readlines
    readlink scandir seek seekable stat sysconf tell text_encoding umask uname urandom __enter__ fileno readable
    writable _path_exists _path_isdir _path_isfile _path_normpath _path_splitroot"""
HARMLESS = frozenset(LOOKING.split())
TRY_AGAIN_EVERY = 10
Work = Callable[[Registry], None]


class Reaper:
    """Kills its process just before the n-th operation on files, whoever asks for it."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, frame: FrameType, event: str, called: object) -> None:
        if event != "c_call":
            return
        name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
        module = getattr(called, "__module__", None) or type(owner).__module__
        # A text file is written when its buffer is: at flush, close or the end of its block.
        in_memory = name == "write" and isinstance(owner, io.TextIOWrapper)
        if module in MODULES and name not in HARMLESS and not in_memory:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def killed(root: Path, work: Work, steps: int) -> bool:
    """Work in a child process that is killed before its n-th operation; whether it had not finished by then."""
    registry = Registry(root)
    pid = os.fork()
    if pid == 0:
        sys.setprofile(Reaper(steps))
        try:
            work(registry)
        except BaseException:  # noqa: BLE001 - the child says by its exit code that it failed
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status)


def whole(shelf: Shelf) -> list[str]:
    """The ids that readers see; each must be all there."""
    rows = shelf.list()
    for row in rows:
        assert shelf.intact(row.model_id)
        assert shelf.compiled(row.model_id) == f"compiled {row.model_id}".encode()
        assert shelf.get(row.model_id) == row
    return sorted(row.model_id for row in rows)


def check_swept(registry: Registry) -> None:
    """After a start nothing is left but the versions, and BentoML reads the same ones."""
    assert [path for path in (registry.root / "staging").rglob("*") if path.name not in (".lock", "deleted")] == []
    versions = whole(registry)
    models = registry.root / "bentoml" / "models"
    assert sorted(str(item.tag) for item in ModelStore(models).list()) == versions
    names = {model_id.partition(":")[0] for model_id in versions}
    assert {folder.name for folder in models.iterdir()} == names
    for name in names:
        assert f"{name}:{(models / name / 'latest').read_text()}" in versions
    files = {path for path in left_behind(registry) if path.name != "latest"}
    assert {path.parent for path in files} == {registry.artifact_path(model_id).parent for model_id in versions}


def upload(registry: Registry) -> None:
    add(registry, "demo:v2")


def delete(registry: Registry) -> None:
    registry.delete("demo:v2")


def delete_the_last_of_its_name(registry: Registry) -> None:
    registry.delete("other:v1")


@pytest.mark.parametrize(
    ("work", "before", "after"),
    [
        (upload, ["demo:v1", "other:v1"], ["demo:v1", "demo:v2", "other:v1"]),
        (delete, ["demo:v1", "demo:v2", "other:v1"], ["demo:v1", "other:v1"]),
        (delete_the_last_of_its_name, ["demo:v1", "other:v1"], ["demo:v1"]),
    ],
)
def test_a_writer_killed_before_any_file_operation_leaves_all_or_nothing(
    tmp_path: Path, work: Work, before: list[str], after: list[str]
) -> None:
    original = Registry(tmp_path / "original")
    for number, model_id in enumerate(before):
        add(original, model_id, age=number)
    found: list[list[str]] = []
    for step in range(1, 2000):
        root = tmp_path / str(step)
        shutil.copytree(original.root, root)
        was_killed = killed(root, work, step)
        found.append(whole(Shelf(root)))
        check_swept(Registry(root))
        assert whole(Shelf(root)) == found[-1], "a start changes nothing that readers saw"
        if not was_killed:
            break
        if found[-1] == before and step % TRY_AGAIN_EVERY == 1:
            work(Registry(root))  # nothing of the first try is in the way
            assert whole(Shelf(root)) == after
    assert not was_killed
    turn = found.index(after)
    assert found == [before] * turn + [after] * (len(found) - turn)
    assert turn > 1, "it was killed before it had done anything"
