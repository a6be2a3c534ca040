"""What checks are run on: an engine of this process, or one in its confined child, seen the same way."""

from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from engines.confined_engine import ConfinedEngine, waited_s
from engines.contract import DecisionEngine, DecisionInput, DecisionOutput


class CheckFailed(AssertionError):
    """An engine does not keep the contract; `where` is the input, `what` what it did."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where = where
        self.what = what


class Subject(Protocol):
    """What a check needs of an engine: `about` says what it is, `decide` decides."""

    @property
    def about(self) -> "About":
        """Name, texts and config."""
        ...

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """See `DecisionEngine`."""
        ...

    def waited_s(self) -> float:
        """Seconds so far in which others had the processor while it could have decided."""
        ...


@dataclass(frozen=True, slots=True)
class About:
    """What an engine says of itself."""

    texts: tuple[str, str, str]
    config_schema: dict[str, Any]
    config_defaults: dict[str, Any]


class InProcess:
    """A trusted engine of this process as a subject."""

    def __init__(self, engine: DecisionEngine) -> None:
        self._engine = engine

    @property
    def about(self) -> About:
        """Its class's attributes."""
        engine, model = self._engine, self._engine.Config
        texts = (engine.name, engine.version, engine.description)
        return About(texts, model.model_json_schema(), _defaults(model))

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """Its own answer."""
        return self._engine.decide(given)

    def waited_s(self) -> float:
        """Of this thread."""
        return waited_s("/proc/thread-self/schedstat")


class Confined:
    """An uploaded engine in its child as a subject."""

    def __init__(self, engine: ConfinedEngine) -> None:
        self._engine = engine
        said = engine.described
        self.about = About((said.name, said.version, said.description), said.config_schema, said.config_defaults)

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """What came back over the pipe."""
        return self._engine.decide(given)

    def waited_s(self) -> float:
        """Of its child."""
        return self._engine.waited_s()


class Remembering:
    """A subject that answers each of the checks' inputs once, so that the checks together take less time."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.about = subject.about
        self.answers: dict[str, DecisionOutput] = {}

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """A fresh answer."""
        return self.subject.decide(given)

    def waited_s(self) -> float:
        """The subject's."""
        return self.subject.waited_s()


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model().model_dump(mode="json")
    except ValidationError as error:
        raise CheckFailed("Config", f"its defaults do not fit: {error}") from error
