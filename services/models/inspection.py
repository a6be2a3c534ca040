"""The server's side of looking at an upload: a fresh confined child for each, and its answer checked."""

import json
import os
import struct
import threading
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.sandbox import ConfinedChild, Program
from engines.sandbox_errors import (
    ChildCrashed,
    ChildForbidden,
    ChildOutOfMemory,
    ChildTimedOut,
    ConfinementFailed,
    OutputTooLarge,
    ProgramRaised,
    SandboxError,
)
from engines.sandbox_limits import USUAL, Confinement, Limits
from services.errors import ModelRefused, Unavailable
from services.models.version import Task

PROGRAM = Program("services.models.examine:examine")
MEMORY_BASE = 512 * 1024**2
MEMORY_PER_BYTE = 8  # of the file: the arrays, the library's copies and the compiled trees
OUTPUT_BASE = 64 * 1024**2
OUTPUT_PER_BYTE = 16  # compressed files grow
AT_ONCE = 2


class Facts(BaseModel):
    """What the child says of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    estimator: str = Field(max_length=200)
    features: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    trees: int = Field(ge=0)
    format: Literal["pickle", "joblib", "skops", "onnx"]
    feature_importance: dict[str, float] | None  # shares that sum to 1; None where the model itself has no word on it
    libraries: dict[str, str] = Field(max_length=20)
    obstacle: str = Field(default="", max_length=500)  # why it is not compiled, where it is not


class Inspector:
    """Looks at uploads, at most `AT_ONCE` of them at a time."""

    def __init__(self, timeout_s: float = 120.0, confinement: Confinement = USUAL) -> None:
        """`timeout_s` is for one upload, on the wall and on the processor."""
        self._timeout_s = timeout_s
        self.confinement = confinement
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def inspect(self, path: Path, task: Task, features: tuple[str, ...] | None) -> tuple[Facts, bytes]:
        """Facts and compiled file; raises `ModelRefused`, or `Unavailable` where children cannot be confined."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._turns:
                return _read_answer(self._ask(descriptor, task, features))
        except SandboxError as error:
            raise _refusal(error) from error
        finally:
            os.close(descriptor)

    def _ask(self, descriptor: int, task: Task, features: tuple[str, ...] | None) -> bytes:
        size = os.fstat(descriptor).st_size
        limits = Limits(
            memory_bytes=MEMORY_BASE + MEMORY_PER_BYTE * size,
            cpu_s=int(self._timeout_s) + 1,
            output_bytes=OUTPUT_BASE + OUTPUT_PER_BYTE * size,
            confinement=self.confinement,
        )
        request = json.dumps({"file": descriptor, "task": task, "features": features}).encode()
        with ConfinedChild(PROGRAM, limits, files=(descriptor,)) as child:
            return child.call(request, self._timeout_s)


def _read_answer(answer: bytes) -> tuple[Facts, bytes]:
    """The child may have been taken over, so its answer is input like any other."""
    try:
        (size,) = struct.unpack(">I", answer[:4])
        said = json.loads(answer[4 : 4 + size])
        if "refused" in said:
            code, detail, advice = map(str, said["refused"])
            raise ModelRefused(code, detail, advice)
        return Facts.model_validate(said), answer[4 + size :]
    except (struct.error, ValueError, TypeError, ValidationError) as error:
        raise ModelRefused("crashes", "the file made its examiner answer nonsense", SAVE_AGAIN) from error


SAVE_AGAIN = "Save the fitted model again with joblib.dump, and upload that file."


def _refusal(error: SandboxError) -> ModelRefused | Unavailable:
    if isinstance(error, ConfinementFailed):
        return Unavailable("model intake", error.detail)
    if isinstance(error, ChildForbidden):
        return ModelRefused("forbidden-call", "the file tried to start another program", SAVE_AGAIN)
    if isinstance(error, ChildTimedOut):
        return ModelRefused("too-slow", f"it was not read and tried within {error.seconds:g} s", "Use fewer trees.")
    if isinstance(error, ChildOutOfMemory):
        size = error.limit_bytes // 1024**2
        return ModelRefused("too-much-memory", f"it needs more than {size} MiB to be loaded", "Use fewer trees.")
    if isinstance(error, OutputTooLarge):
        return ModelRefused("compiled-too-large", "its compiled form is too large", "Use fewer or shallower trees.")
    if isinstance(error, ChildCrashed):
        return ModelRefused("crashes", f"the file crashed the process that tried it ({error.how})", SAVE_AGAIN)
    if isinstance(error, ProgramRaised):
        return ModelRefused("unreadable", f"{error.kind}: {error.detail}", SAVE_AGAIN)
    return ModelRefused("unreadable", str(error), SAVE_AGAIN)
