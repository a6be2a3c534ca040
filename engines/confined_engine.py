"""An uploaded engine, deciding in a confined child of its own: JSON in, JSON out, within limits."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from engines.canonical import canonical
from engines.contract import DecisionInput, DecisionOutput, Strict
from engines.errors import EngineConfigInvalid, EngineFailed, EngineRefused, Problem
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
from engines.source import EngineSource

PROGRAM = Program("engines.worker:answer", warm=("numpy", "pandas", "engines.sandbox_libraries"))
QUARANTINE_AFTER = 5
LONGEST_REST_S = 60.0
WAIT_S = 30.0
KINDS: dict[type[SandboxError], str] = {
    ProgramRaised: "raised",
    ChildOutOfMemory: "out_of_memory",
    ChildCrashed: "crashed",
    ChildForbidden: "forbidden",
    ChildTimedOut: "timed_out",
    OutputTooLarge: "too_large",
    ConfinementFailed: "not_confined",
}
FATAL = (ChildCrashed, ChildForbidden, ChildTimedOut, OutputTooLarge, ConfinementFailed)


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What an uploaded engine may use; `cpu_s` is for the whole life of one child, which is renewed well before."""

    decide_s: float = 5.0
    load_s: float = 10.0
    cpu_s: int = 120
    memory_bytes: int = 512 * 1024**2
    output_bytes: int = 16 * 1024**2
    confinement: Confinement = USUAL

    def for_child(self) -> Limits:
        """The child's own limits."""
        return Limits(
            memory_bytes=self.memory_bytes,
            cpu_s=self.cpu_s,
            output_bytes=self.output_bytes,
            confinement=self.confinement,
        )


class Description(Strict):
    """What an engine says of itself."""

    name: str = Field(min_length=1, max_length=255)
    version: str = Field(min_length=1, max_length=255)
    description: str = Field(min_length=1, max_length=10_000)
    models: tuple[str, ...] = Field(default=(), max_length=20)
    config_schema: dict[str, Any]
    config_defaults: dict[str, Any]


@dataclass(slots=True)
class _Health:
    crashes: int = 0
    rest_until: float = 0.0
    spent_s: float = 0.0
    closed: bool = field(default=False)


class ConfinedEngine:
    """Thread-safe; calls take turns. `described` is what the engine says of itself.

    A child that is gone is started again after a rest that doubles each time; after `QUARANTINE_AFTER`
    ends in a row it stays away until the engine is selected anew.
    """

    def __init__(
        self,
        engine_id: str,
        source: EngineSource,
        limits: EngineLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start, confine and load; raises `EngineRefused` (with lines) or `EngineFailed`."""
        self.engine_id = engine_id
        self._source = source
        self._limits = limits or EngineLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._health = _Health()
        self._child: ConfinedChild | None = None
        with self._lock:
            self.described = self._start()

    @property
    def pid(self) -> int | None:
        """The process id of its child; None while there is none."""
        return self._child.pid if self._child is not None else None

    def waited_s(self) -> float:
        """Seconds that its child was ready to run and others had the processor; 0 where the kernel does not say."""
        return waited_s(f"/proc/{self.pid}/schedstat")

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """Decide; raises `EngineFailed`. The answer has the form of one and finite numbers; nothing more is sure."""
        return self.decide_canonical(canonical(given))

    def decide_canonical(self, data: bytes) -> DecisionOutput:
        """As `decide`, on an input that is canonical bytes already."""
        with self._turn():
            told = self._call(b"decide", data, self._limits.decide_s)
        try:
            return DecisionOutput.model_validate_json(told)
        except ValidationError as error:
            raise EngineFailed(self.engine_id, f"its answer is no decision: {_first(error)}", "no_decision") from error

    def validated_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config` with defaults filled in; raises `EngineConfigInvalid` or `EngineFailed`."""
        with self._turn():
            told = _json(self.engine_id, self._call(b"config", json.dumps(dict(config)).encode(), self._limits.load_s))
        if isinstance(valid := told.get("config"), dict):
            return valid
        problems = tuple((str(path), str(what)) for path, what in _pairs(told))
        raise EngineConfigInvalid(self.engine_id, problems)

    def close(self) -> None:
        """End the child, when the call that it answers has ended."""
        with self._lock:
            self._health.closed = True
            self._end()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=WAIT_S):
            raise EngineFailed(self.engine_id, f"others have kept it busy for {WAIT_S:g} s", "timed_out")
        try:
            yield
        finally:
            self._lock.release()

    def _call(self, word: bytes, body: bytes, timeout_s: float) -> bytes:
        child = self._running()
        began = self._clock()
        try:
            told = child.call(word + b"\n" + body, timeout_s)
        except SandboxError as error:
            raise self._failed(error) from error
        finally:
            self._health.spent_s += self._clock() - began
        self._health.crashes = 0
        return told

    def _running(self) -> ConfinedChild:
        """The child; a new one when it is gone and its rest is over, or when it nears its processor time."""
        health = self._health
        if health.closed:
            raise EngineFailed(self.engine_id, "it is closed", "not_started")
        if self._child is not None and self._child.alive and health.spent_s < self._limits.cpu_s / 2:
            return self._child
        if health.crashes >= QUARANTINE_AFTER:
            detail = f"it ended {health.crashes} times in a row and is kept out; select it again"
            raise EngineFailed(self.engine_id, detail, "quarantined")
        if (left := health.rest_until - self._clock()) > 0:
            raise EngineFailed(self.engine_id, f"it ended and is started again in {left:.1f} s", "resting")
        self._start()
        assert self._child is not None
        return self._child

    def _start(self) -> Description:
        self._end()
        self._health.spent_s = 0.0
        request = b"load\n" + self._source.class_name.encode() + b"\n" + self._source.text
        try:
            self._child = ConfinedChild(PROGRAM, self._limits.for_child())
            told = _json(self.engine_id, self._child.call(request, self._limits.load_s))
            return self._described(told)
        except SandboxError as error:
            raise self._failed(error) from error
        except (EngineFailed, EngineRefused):
            self._end()
            raise

    def _described(self, told: dict[str, Any]) -> Description:
        if "engine" not in told:
            found = ((line if isinstance(line, int) else None, str(what)) for line, what in _pairs(told))
            raise EngineRefused("load", tuple(Problem(line, what) for line, what in found))
        try:
            return Description.model_validate(told["engine"])
        except ValidationError as error:
            raise EngineRefused("load", (Problem(None, f"what it says of itself: {_first(error)}"),)) from error

    def _failed(self, error: SandboxError) -> EngineFailed:
        if isinstance(error, FATAL):
            self._end()
            self._health.crashes += 1
            self._health.rest_until = self._clock() + min(2.0 ** (self._health.crashes - 1), LONGEST_REST_S)
        return EngineFailed(self.engine_id, _words(error), KINDS.get(type(error), "crashed"))

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def waited_s(schedstat: str) -> float:
    """The second word of a schedstat file: nanoseconds spent waiting on a run queue (Documentation/scheduler)."""
    try:
        return int(Path(schedstat).read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _words(error: SandboxError) -> str:
    match error:
        case ProgramRaised():
            return error.detail if error.kind == "EngineRaised" else f"{error.kind}: {error.detail}"
        case ChildOutOfMemory():
            return f"it wanted more than {error.limit_bytes // 1024**2} MiB of memory"
        case ChildCrashed():
            return f"its process ended by {error.how}"
        case ChildForbidden():
            return "it tried to start a program or to look into another process, and was ended"
        case ChildTimedOut():
            return f"it did not answer within {error.seconds:g} s, and was ended"
        case OutputTooLarge():
            return f"it answered with more than {error.limit_bytes // 1024**2} MiB, and was ended"
        case _:
            return str(error)


def _json(engine_id: str, told: bytes) -> dict[str, Any]:
    try:
        found = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise EngineFailed(engine_id, "its process answered with what is no JSON", "no_decision") from error
    if not isinstance(found, dict):
        raise EngineFailed(engine_id, "its process answered with what is no object", "no_decision")
    return found


def _pairs(told: dict[str, Any]) -> list[tuple[Any, Any]]:
    rows = told.get("problems")
    found = (
        [(row[0], row[1]) for row in rows if isinstance(row, list) and len(row) == 2] if isinstance(rows, list) else []
    )
    return found[:100] or [(None, "it says nothing that can be understood")]


def _first(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    where = ".".join(map(str, problems[0]["loc"]))
    return f"{where}: {problems[0]['msg']}" + (f", and {len(problems) - 1} more" if len(problems) > 1 else "")
