"""Lets an upload in: its names, its date, its features and the file itself, or nothing of it remains."""

import difflib
import json
import math
import re
import statistics
from collections.abc import Collection
from datetime import UTC, date, datetime

from engines.sandbox_limits import Confinement
from services.errors import ModelExists, ModelNotFound, ModelRefused, RequestInvalid
from services.models.confined_scorer import ConfinedModel
from services.models.inspection import Facts, Inspector
from services.models.permutation import ImportanceFrom
from services.models.registry import Registry
from services.models.staging import Staged
from services.models.upload_importance import tried_importance
from services.models.version import NAME_PATTERN, FeatureRange, ModelMetadata, ModelVersion

NAME = re.compile(NAME_PATTERN)
RESERVED_VERSIONS = ("latest",)  # BentoML's word for the newest one


class Intake:
    """The one way into the registry. `admit` blocks for a second or more: call it off the event loop."""

    def __init__(self, registry: Registry, known_features: Collection[str], inspector: Inspector | None = None) -> None:
        """`known_features` are the names of the feature registry."""
        self._registry = registry
        self._known = tuple(known_features)
        self._inspector = inspector or Inspector()

    def open(self, limit_bytes: int) -> Staged:
        """Begin an upload; write its chunks into it and hand it to `admit`, within a `with` block."""
        return self._registry.staging.open(limit_bytes)

    def check_names(self, name: str, version: str, trained_until: date, now: datetime | None = None) -> None:
        """What can be refused before the body is read; raises `RequestInvalid` or `ModelExists`."""
        _check_name("model_name", name)
        _check_name("version", version)
        if version in RESERVED_VERSIONS:
            raise RequestInvalid("version", f"{version!r} always means the newest version", "Choose another, as v1.")
        if trained_until > (now or datetime.now(UTC)).date():
            advice = "Give the last day (UTC) whose data the model was trained on."
            raise RequestInvalid("trained_until_date", f"{trained_until} is in the future", advice)
        try:
            self._registry.get(f"{name}:{version}")
        except ModelNotFound:
            return
        raise ModelExists(f"{name}:{version}")

    def admit(
        self,
        staged: Staged,
        *,
        name: str,
        version: str,
        trained_until: date,
        metadata: ModelMetadata,
        uploaded_by: str,
        filename: str = "",
        now: datetime | None = None,
    ) -> ModelVersion:
        """Examine the staged file and keep it; on any error nothing of it remains.

        Raises `RequestInvalid`, `ModelExists`, `ModelRefused`, or `Unavailable` where it cannot be examined safely.
        """
        with staged:
            at = now or datetime.now(UTC)
            self.check_names(name, version, trained_until, at)
            staged.seal()
            if staged.size_bytes == 0:
                raise ModelRefused("unreadable", "the file is empty", "Upload the model file itself.")
            facts, compiled = self._inspector.inspect(staged.path, metadata.task, metadata.features)
            self._check_features(facts)
            subject = ConfinedModel(f"{name}:{version}", staged.path, facts.features)
            importance = _importance(subject, facts, compiled, metadata, self._inspector.confinement)
            admitted = ModelVersion(
                model_id=f"{name}:{version}",
                name=name,
                version=version,
                task=metadata.task,
                horizon_hours=metadata.horizon_hours,
                features=facts.features,
                trained_until=trained_until,
                uploaded_at=at,
                uploaded_by=uploaded_by,
                sha256=staged.sha256,
                size_bytes=staged.size_bytes,
                filename=filename[:255],
                format=facts.format,
                estimator=facts.estimator,
                compiled=bool(compiled),
                description=metadata.description,
                metrics=metadata.metrics,
                feature_importance=importance[0] if importance else {},
                importance_from=importance[1] if importance else None,
                feature_ranges=feature_ranges(metadata, facts.features),
                libraries=facts.libraries,
            )
            self._registry.add(admitted, staged, compiled or None, reference_file(metadata, facts.features))
            return admitted

    def _check_features(self, facts: Facts) -> None:
        unknown = [name for name in facts.features if name not in self._known]
        if not unknown:
            return
        near = {name: difflib.get_close_matches(name, self._known, n=2) for name in unknown}
        told = "; ".join(f"{name} (near: {', '.join(found)})" if found else name for name, found in near.items())
        advice = f"Train with the features of this server: {', '.join(sorted(self._known))}."
        raise ModelRefused("unknown-feature", f"the server has no such features: {told}", advice)


def _importance(
    model: ConfinedModel, facts: Facts, compiled: bytes, metadata: ModelMetadata, confinement: Confinement
) -> tuple[dict[str, float], ImportanceFrom] | None:
    if facts.feature_importance:
        return facts.feature_importance, "model"
    return tried_importance(model, compiled, metadata.reference_sample, confinement)


def feature_ranges(metadata: ModelMetadata, features: tuple[str, ...]) -> dict[str, FeatureRange]:
    """Ranges and medians of the author's sample, for the features that it speaks of; raises `RequestInvalid`."""
    ranges: dict[str, FeatureRange] = {}
    for name in features:
        values = [row[name] for row in metadata.reference_sample if row.get(name) is not None]
        known = [value for value in values if value is not None and math.isfinite(value)]
        if len(known) < len(values):
            advice = "Send finite numbers, or null for an unknown value."
            raise RequestInvalid("metadata.reference_sample", f"{name} has a value that is no finite number", advice)
        if known:
            ranges[name] = FeatureRange(low=min(known), high=max(known), median=statistics.median(known))
    return ranges


def reference_file(metadata: ModelMetadata, features: tuple[str, ...]) -> bytes | None:
    """The author's sample as JSON rows of the model's features; None where none was sent."""
    rows = [{name: row.get(name) for name in features} for row in metadata.reference_sample]
    return json.dumps(rows).encode() if rows else None


def _check_name(field: str, value: str) -> None:
    advice = "Use a-z, 0-9, dot, dash and underscore, at most 63 of them, a letter or digit first and last."
    # The last character is BentoML's demand.
    if not NAME.fullmatch(value) or value[-1] in "._-":
        raise RequestInvalid(field, f"{value[:80]!r} is not a name", advice)
