"""What can go wrong with decision engines; none of it knows HTTP.

EnginesError
├── EngineNotFound               no engine with this id
├── EngineConfigInvalid          the config does not fit the engine's schema
├── EngineFailed                 the engine raised, or returned what is no decision
├── EngineNotSelected            nothing has been selected yet
└── SelectionStale               a later selection is active, or the prepared one has expired
"""


class EnginesError(Exception):
    """The root of this room's errors."""


class EngineNotFound(EnginesError):
    """No engine `engine_id`; `nearest` are ids that look like it."""

    def __init__(self, engine_id: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(engine_id, nearest)
        self.engine_id = engine_id
        self.nearest = nearest


class EngineConfigInvalid(EnginesError):
    """The config of `engine_id` is refused; `problems` are (path of the field, what is wrong there)."""

    def __init__(self, engine_id: str, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(engine_id, problems)
        self.engine_id = engine_id
        self.problems = problems

    def __str__(self) -> str:
        return f"{self.engine_id}: " + "; ".join(f"{path}: {what}" for path, what in self.problems)


class EngineFailed(EnginesError):
    """`engine_id` raised or returned what is no decision; `detail` says which."""

    def __init__(self, engine_id: str, detail: str) -> None:
        super().__init__(engine_id, detail)
        self.engine_id = engine_id
        self.detail = detail


class EngineNotSelected(EnginesError):
    """No engine has been selected, so nothing can decide."""


class SelectionStale(EnginesError):
    """Generation `asked` is not prepared any more; `current` is active (-1: none)."""

    def __init__(self, asked: int, current: int) -> None:
        super().__init__(asked, current)
        self.asked = asked
        self.current = current
