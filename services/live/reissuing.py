"""A past decision made again from what was kept of it: the same engine version and input give the same bytes."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

from engines.canonical import canonical, digest
from engines.catalogue import Catalogue
from engines.contract import DecisionInput
from engines.deciding import decided
from engines.errors import EngineNotFound
from services.live.deciding import LOG
from services.live.errors import DecisionUnknown, ReissueImpossible
from services.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Reissued:
    """A decision as told and as made again, with the SHA-256 (hex) of both and of the input."""

    seq: int
    engine_id: str
    version: str
    input_sha256: str
    told_sha256: str
    again_sha256: str
    decision: dict[str, Any]

    @property
    def identical(self) -> bool:
        """Whether both are the same, byte for byte."""
        return self.told_sha256 == self.again_sha256


def reissue(store: Store, catalogue: Catalogue, seq: int) -> Reissued:
    """Make the decision with this `seq` of `decisions/history` again, by the engine that made it, from its kept input.

    Raises DecisionUnknown when nothing is kept under it, ReissueImpossible when its engine's version is gone or its
    input is not the one it was made from, and EngineFailed when the engine does not decide now.
    """
    row = _kept(store, seq)
    made_by = row["made_by"] or {}
    engine_id, version = str(made_by.get("engine_id", "")), str(made_by.get("version", ""))
    given = DecisionInput.model_validate(row["input"]).model_copy(update={"config": made_by.get("config", {})})
    data = canonical(given)
    if digest(data) != made_by.get("input_sha256"):
        raise ReissueImpossible(seq, "what is kept is not the whole input it was made from")
    try:
        there = catalogue.get(engine_id).version
    except EngineNotFound as error:
        raise ReissueImpossible(seq, f"the engine {engine_id} is gone") from error
    if there != version:
        raise ReissueImpossible(seq, f"{engine_id} is at version {there}, and version {version} decided")
    opened = catalogue.open(engine_id)
    try:
        output = decided(opened, given, int(made_by["generation"]))
    finally:
        opened.close()
    told = row["decision"]
    again = next(d for d in output.decisions if d.cluster_id == told["cluster_id"]).model_dump(mode="json")
    return Reissued(seq, engine_id, version, digest(data), digest(_bytes(told)), digest(_bytes(again)), again)


def _kept(store: Store, seq: int) -> dict[str, Any]:
    entries = store.read(LOG, after=seq - 1, limit=1)
    if not entries or entries[0].seq != seq:
        raise DecisionUnknown(seq)
    row: dict[str, Any] = json.loads(zlib.decompress(entries[0].body))
    return row


def _bytes(decision: dict[str, Any]) -> bytes:
    return json.dumps(decision, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
