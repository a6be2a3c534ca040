"""The engines that can be selected: the built-in ones, and those uploaded to a folder."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from engines.builtin.on_demand_only import OnDemandOnly
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import CONTRACT, DecisionEngine, DecisionInput, DecisionOutput
from engines.errors import EngineConfigInvalid, EngineNotFound

_NEAREST = 3


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine of the catalogue; a built-in one has its name as `engine_id`, an uploaded one `name:version`."""

    engine_id: str
    name: str
    version: str
    description: str
    builtin: bool


@dataclass(frozen=True, slots=True)
class EngineMetadata:
    """What a person or a form needs to use an engine: JSON Schemas of input, output and config, and default config."""

    entry: EngineEntry
    contract: int
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    config_schema: dict[str, Any]
    config_defaults: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedEngine:
    """An engine ready to decide; `close` frees what it holds, after its last decision."""

    entry: EngineEntry
    engine: DecisionEngine
    close: Callable[[], None]


def _nothing_to_close() -> None:
    return None


_BUILT_IN: tuple[Callable[[], DecisionEngine], ...] = (SpotOptimizerV1, OnDemandOnly)


class Catalogue:
    """Engines by id; `directory` is where uploaded ones are kept (it may not exist yet)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        engines = [make() for make in _BUILT_IN]
        self._make = {engine.name: make for engine, make in zip(engines, _BUILT_IN, strict=True)}
        self._entries = {
            engine.name: EngineEntry(engine.name, engine.name, engine.version, engine.description, builtin=True)
            for engine in engines
        }

    def list(self) -> tuple[EngineEntry, ...]:
        """Return every engine, built-in ones first, then by id."""
        return tuple(sorted(self._entries.values(), key=lambda entry: (not entry.builtin, entry.engine_id)))

    def get(self, engine_id: str) -> EngineEntry:
        """Return the engine `engine_id`; raises EngineNotFound with the nearest ids."""
        if (entry := self._entries.get(engine_id)) is None:
            nearest = difflib.get_close_matches(engine_id, self._entries, n=_NEAREST)
            raise EngineNotFound(engine_id, tuple(nearest))
        return entry

    def resolve(self, name_or_id: str) -> EngineEntry:
        """Return the engine with this id, else the newest one with this name; raises EngineNotFound."""
        named = [entry for entry in self.list() if entry.name == name_or_id]
        return self.get(name_or_id) if name_or_id in self._entries or not named else named[-1]

    def metadata(self, engine_id: str) -> EngineMetadata:
        """Return schemas and defaults of `engine_id`; raises EngineNotFound."""
        entry = self.get(engine_id)
        model = self._make[engine_id]().Config
        return EngineMetadata(
            entry=entry,
            contract=CONTRACT,
            input_schema=DecisionInput.model_json_schema(),
            output_schema=DecisionOutput.model_json_schema(),
            config_schema=model.model_json_schema(),
            config_defaults=self.validated_config(engine_id, {}),
        )

    def validated_config(self, engine_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `config` with defaults filled in, as JSON values; raises EngineConfigInvalid with field paths."""
        model: type[BaseModel] = self._make[self.get(engine_id).engine_id]().Config
        try:
            return model.model_validate(dict(config)).model_dump(mode="json")
        except ValidationError as error:
            problems = tuple((".".join(map(str, e["loc"])) or "config", e["msg"]) for e in error.errors())
            raise EngineConfigInvalid(engine_id, problems) from error

    def open(self, engine_id: str) -> OpenedEngine:
        """Return the engine, ready to decide; raises EngineNotFound, or EngineFailed when it cannot be loaded."""
        entry = self.get(engine_id)
        return OpenedEngine(entry, self._make[engine_id](), _nothing_to_close)
