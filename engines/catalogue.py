"""The engines that can be selected: the built-in ones, and those uploaded to a folder."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from engines.builtin.cheapest_pool import CheapestPool
from engines.builtin.on_demand_only import OnDemandOnly
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.confined_engine import ConfinedEngine, EngineLimits
from engines.contract import CONTRACT, DecisionEngine, DecisionInput, DecisionOutput
from engines.errors import EngineConfigInvalid, EngineExists, EngineFailed, EngineInUse, EngineNotFound, EngineRefused
from engines.source import EngineSource
from engines.uploads import EngineRecord, Uploads

_NEAREST = 3


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine of the catalogue; a built-in one has its name as `engine_id`, an uploaded one `name:version`.

    `models` are those that it names: versions (`name:version`) or tasks, whose predictions it wants in its input.
    """

    engine_id: str
    name: str
    version: str
    description: str
    builtin: bool
    models: tuple[str, ...] = ()
    sha256: str = ""
    size_bytes: int = 0
    uploaded_at: str = ""
    uploaded_by: str = ""


@dataclass(frozen=True, slots=True)
class EngineMetadata:
    """What a person or a form needs to use an engine: JSON Schemas of input, output and config, and default config."""

    entry: EngineEntry
    contract: int
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    config_schema: dict[str, Any]
    config_defaults: dict[str, Any]


class Decides(Protocol):
    """The one thing that every engine can, wherever it runs."""

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """See `DecisionEngine`."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedEngine:
    """An engine ready to decide; `close` frees what it holds, after its last decision.

    `confined` is the engine itself when it is an uploaded one, in a child process.
    """

    entry: EngineEntry
    engine: Decides
    close: Callable[[], None]
    confined: ConfinedEngine | None = None
    config_model: type[BaseModel] | None = None

    def validated_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config` with defaults filled in, as JSON values; raises EngineConfigInvalid with field paths."""
        if self.confined is not None:
            return self.confined.validated_config(config)
        return _validated(self.entry.engine_id, self.config_model, config)


def _nothing_to_close() -> None:
    return None


_BUILT_IN: tuple[Callable[[], DecisionEngine], ...] = (SpotOptimizerV1, OnDemandOnly, CheapestPool)


class Catalogue:
    """Engines by id; `directory` is where uploaded ones are kept (it may not exist yet)."""

    def __init__(self, directory: Path, limits: EngineLimits | None = None) -> None:
        self.directory = directory
        self.uploads = Uploads(directory)
        self.limits = limits or EngineLimits()  # what an uploaded one may use
        engines = [make() for make in _BUILT_IN]
        self._make = {engine.name: make for engine, make in zip(engines, _BUILT_IN, strict=True)}
        self._entries = {
            engine.name: EngineEntry(engine.name, engine.name, engine.version, engine.description, builtin=True)
            for engine in engines
        }

    def list(self) -> tuple[EngineEntry, ...]:
        """Return every engine: built-in ones first, by id, then uploads, the newest first."""
        built_in = sorted(self._entries.values(), key=lambda entry: entry.engine_id)
        return (*built_in, *map(_entry, self.uploads.list()))

    def get(self, engine_id: str) -> EngineEntry:
        """Return the engine `engine_id`; raises EngineNotFound with the nearest ids."""
        if (entry := self._entries.get(engine_id)) is not None:
            return entry
        if (record := self.uploads.get(engine_id)) is not None:
            return _entry(record)
        nearest = difflib.get_close_matches(engine_id, [entry.engine_id for entry in self.list()], n=_NEAREST)
        raise EngineNotFound(engine_id, tuple(nearest))

    def resolve(self, name_or_id: str) -> EngineEntry:
        """Return the engine with this id, else the newest one with this name; raises EngineNotFound."""
        named = [entry for entry in self.list() if name_or_id in (entry.engine_id, entry.name)]
        exact = [entry for entry in named if entry.engine_id == name_or_id]
        return (exact or named or [self.get(name_or_id)])[0]

    def metadata(self, engine_id: str) -> EngineMetadata:
        """Return schemas and defaults of `engine_id`; raises EngineNotFound."""
        entry = self.get(engine_id)
        record = self.uploads.get(engine_id) if not entry.builtin else None
        return EngineMetadata(
            entry=entry,
            contract=record.contract if record else CONTRACT,
            input_schema=DecisionInput.model_json_schema(),
            output_schema=DecisionOutput.model_json_schema(),
            config_schema=record.config_schema if record else self._make[engine_id]().Config.model_json_schema(),
            config_defaults=record.config_defaults if record else self.validated_config(engine_id, {}),
        )

    def validated_config(self, engine_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `config` with defaults filled in, as JSON values.

        Raises EngineNotFound, EngineConfigInvalid with field paths, or EngineFailed when it cannot be loaded.
        """
        opened = self.open(engine_id)
        try:
            return opened.validated_config(config)
        finally:
            opened.close()

    def open(self, engine_id: str) -> OpenedEngine:
        """Return the engine, ready to decide; raises EngineNotFound, or EngineFailed when it cannot be loaded."""
        entry = self.get(engine_id)
        if entry.builtin:
            engine = self._make[engine_id]()
            return OpenedEngine(entry, engine, _nothing_to_close, config_model=engine.Config)
        record = self.uploads.get(engine_id)
        if record is None:
            raise EngineNotFound(engine_id)
        source = EngineSource(self.uploads.text(engine_id), record.class_name, record.models)
        try:
            confined = ConfinedEngine(engine_id, source, self.limits)
        except EngineRefused as error:
            raise EngineFailed(engine_id, str(error), "not_started") from error
        return OpenedEngine(entry, confined, confined.close, confined)

    def check_free(self, name: str, version: str) -> str:
        """Return the id that an upload would have; raises EngineExists when it is taken."""
        engine_id = f"{name}:{version}"
        if name in self._entries:
            raise EngineExists(name)
        if self.uploads.get(engine_id) is not None:
            raise EngineExists(engine_id)
        return engine_id

    def delete(self, engine_id: str) -> None:
        """Remove an upload; raises EngineNotFound, or EngineInUse for a built-in one. Who uses it, the caller knows."""
        if self.get(engine_id).builtin:
            raise EngineInUse(engine_id, "it is part of the server")
        self.uploads.delete(engine_id)


def _validated(engine_id: str, model: type[BaseModel] | None, config: Mapping[str, Any]) -> dict[str, Any]:
    if model is None:
        return dict(config)
    try:
        return model.model_validate(dict(config)).model_dump(mode="json")
    except ValidationError as error:
        problems = tuple((".".join(map(str, e["loc"])) or "config", e["msg"]) for e in error.errors())
        raise EngineConfigInvalid(engine_id, problems) from error


def _entry(record: EngineRecord) -> EngineEntry:
    return EngineEntry(
        engine_id=record.engine_id,
        name=record.name,
        version=record.version,
        description=record.description,
        builtin=False,
        models=record.models,
        sha256=record.sha256,
        size_bytes=record.size_bytes,
        uploaded_at=record.uploaded_at.isoformat(),
        uploaded_by=record.uploaded_by,
    )
