"""What can go wrong with decision engines; none of it knows HTTP.

EnginesError
├── EngineNotFound               no engine with this id
├── EngineExists                 this name and version are taken
├── EngineInUse                  it is selected, so it cannot be deleted
├── EngineRefused                the file is not an engine that is let in
├── EngineConfigInvalid          the config does not fit the engine's schema
├── EngineModelsMissing          the engine names models that cannot predict for it
├── EngineFailed                 the engine raised, hung, crashed, or returned what is no decision that may be used
├── EngineNotSelected            nothing has been selected yet
└── SelectionStale               a later selection is active, or the prepared one has expired
"""

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with an engine's text; `line` is None where no line is meant."""

    line: int | None
    detail: str


class EnginesError(Exception):
    """The root of this room's errors."""


class EngineNotFound(EnginesError):
    """No engine `engine_id`; `nearest` are ids that look like it."""

    def __init__(self, engine_id: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(engine_id, nearest)
        self.engine_id = engine_id
        self.nearest = nearest


class EngineExists(EnginesError):
    """`engine_id` is taken, by an upload or by a built-in engine."""

    def __init__(self, engine_id: str) -> None:
        super().__init__(engine_id)
        self.engine_id = engine_id


class EngineInUse(EnginesError):
    """`engine_id` cannot be deleted; `use` says what needs it."""

    def __init__(self, engine_id: str, use: str) -> None:
        super().__init__(engine_id, use)
        self.engine_id = engine_id
        self.use = use


class EngineRefused(EnginesError):
    """An upload is not let in: `stage` is name, source, load or check, `problems` are all that were found there."""

    def __init__(self, stage: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(stage, problems)
        self.stage = stage
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(f"line {line}: {what}" if line else what for line, what in self.problems)


class EngineConfigInvalid(EnginesError):
    """The config of `engine_id` is refused; `problems` are (path of the field, what is wrong there)."""

    def __init__(self, engine_id: str, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(engine_id, problems)
        self.engine_id = engine_id
        self.problems = problems

    def __str__(self) -> str:
        return f"{self.engine_id}: " + "; ".join(f"{path}: {what}" for path, what in self.problems)


class EngineModelsMissing(EnginesError):
    """`engine_id` names `models` that are not there: no such version, or a task for which nothing is active."""

    def __init__(self, engine_id: str, models: tuple[str, ...]) -> None:
        super().__init__(engine_id, models)
        self.engine_id = engine_id
        self.models = models


class EngineFailed(EnginesError):
    """`engine_id` did not decide; `detail` says what it did instead, `kind` names it for counting.

    Kinds: raised, no_decision, violation, crashed, forbidden, timed_out, out_of_memory, too_large, not_confined,
    not_started, resting, quarantined.
    """

    def __init__(self, engine_id: str, detail: str, kind: str = "raised") -> None:
        super().__init__(engine_id, detail, kind)
        self.engine_id = engine_id
        self.detail = detail
        self.kind = kind


class EngineNotSelected(EnginesError):
    """No engine has been selected, so nothing can decide."""


class SelectionStale(EnginesError):
    """Generation `asked` is not prepared any more; `current` is active (-1: none)."""

    def __init__(self, asked: int, current: int) -> None:
        super().__init__(asked, current)
        self.asked = asked
        self.current = current
