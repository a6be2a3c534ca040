"""Taking an engine in: its text is looked at, its child loads it, every check runs, and only then it is catalogued."""

import contextlib
import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime

from engines import source
from engines.catalogue import Catalogue, EngineEntry
from engines.checks import Outcome, run_all
from engines.confined_engine import ConfinedEngine, Description, EngineLimits
from engines.contract import CONTRACT
from engines.errors import EngineFailed, EngineRefused, Problem
from engines.source import EngineSource
from engines.subjects import Confined
from engines.uploads import NAME, EngineRecord

CHECKS_S = 120.0
PATIENCE = 4
LINE = re.compile(r"^line (\d+): ")


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What comes with an uploaded file; an empty `description` means the class's own."""

    name: str
    version: str
    description: str
    uploaded_by: str
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What an author is told: the engine's own words, and how each check ended."""

    source: EngineSource
    described: Description
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether it would be taken in."""
        return all(outcome.passed for outcome in self.outcomes)

    def problems(self) -> tuple[Problem, ...]:
        """What the failed checks found, each thing once, with the author's line where the engine raised."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            if not outcome.passed and outcome.seconds is not None:
                found.setdefault(outcome.what, []).append(outcome)
        return tuple(_problem(what, outcomes) for what, outcomes in found.items())


def examine(text: bytes, engine_id: str, limits: EngineLimits | None = None, budget_s: float = CHECKS_S) -> Report:
    """Read, load and check an engine; raises `EngineRefused` when it cannot even be loaded, and `EngineFailed` when
    this machine cannot confine it.
    """
    found = source.inspect(text)
    usual = limits or EngineLimits()
    # On a busy machine an answer takes longer by the clock; `check_time` knows how long the engine itself took.
    patient = replace(usual, decide_s=usual.decide_s * PATIENCE, load_s=usual.load_s * PATIENCE)
    try:
        engine = ConfinedEngine(engine_id, found, patient)
    except EngineFailed as error:
        if error.kind == "not_confined":
            raise
        raise EngineRefused("load", (Problem(None, error.detail),)) from error
    with contextlib.closing(engine):
        return Report(found, engine.described, run_all(Confined(engine), budget_s))


def admit(
    catalogue: Catalogue, text: bytes, order: EngineOrder, at: datetime, limits: EngineLimits | None = None
) -> EngineEntry:
    """Take an engine into the catalogue, or leave nothing.

    Raises `EngineRefused`, `EngineExists`, and `EngineFailed` where this machine cannot confine it.
    """
    check_names(order)
    engine_id = catalogue.check_free(order.name, order.version)
    report = examine(text, engine_id, limits or catalogue.limits)
    if not report.passed:
        raise EngineRefused("check", report.problems())
    said = report.described
    record = EngineRecord(
        engine_id=engine_id,
        name=order.name,
        version=order.version,
        description=(order.description or said.description)[:2000],
        declared_name=said.name,
        declared_version=said.version,
        class_name=report.source.class_name,
        models=said.models,
        config_schema=said.config_schema,
        config_defaults=said.config_defaults,
        contract=CONTRACT,
        sha256=hashlib.sha256(text).hexdigest(),
        size_bytes=len(text),
        filename=order.filename[:255],
        uploaded_at=at,
        uploaded_by=order.uploaded_by,
    )
    catalogue.uploads.add(record, text)
    return catalogue.get(engine_id)


def check_names(order: EngineOrder) -> None:
    """Raises `EngineRefused` for a name or version that none may have."""
    wrong = [
        (field, value)
        for field, value in (("name", order.name), ("version", order.version))
        if not NAME.fullmatch(value)
    ]
    if wrong:
        advice = "a-z, 0-9, dot, dash and underscore, at most 63 of them, a letter or digit first"
        raise EngineRefused("name", tuple(Problem(None, f"{f} {v[:80]!r} is no name: {advice}") for f, v in wrong))


def _problem(what: str, outcomes: list[Outcome]) -> Problem:
    line = LINE.match(what)
    checks = ", ".join(outcome.check for outcome in outcomes)
    where = f" (input: {outcomes[0].where})" if outcomes[0].where else ""
    said = what[line.end() :] if line else what
    return Problem(int(line.group(1)) if line else None, f"check {checks}{where}: {said}"[:2000])
