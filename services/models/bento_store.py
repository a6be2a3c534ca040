"""The one place that speaks to BentoML's model store."""

import os
import warnings
from pathlib import Path

from services.models.version import ModelVersion

os.environ["BENTOML_DO_NOT_TRACK"] = "True"

with warnings.catch_warnings():
    # BentoML 1.4 uses a pattern class that pathspec has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bentoml.models
    from bentoml._internal.models import ModelStore
    from bentoml.exceptions import BentoMLException


def create(root: Path, version: ModelVersion) -> Path:
    """Make a BentoML model folder with its model.yaml in a store of its own at `root`; returns the folder.

    BentoML copies straight into its final folder and has no lock, so a version is made apart and renamed into place.
    """
    root.mkdir(mode=0o700)
    labels = {"task": version.task, "format": version.format, "estimator": version.estimator.rpartition(".")[2]}
    metadata = {"sha256": version.sha256, "trained_until": version.trained_until.isoformat()}
    tag = f"{version.name}:{version.version}"
    with bentoml.models.create(tag, labels=labels, metadata=metadata, _model_store=ModelStore(root)) as model:
        del model
    return root / version.name / version.version


def point_latest(models: Path, name: str) -> None:
    """Let `name:latest` mean what BentoML takes it for: the newest version that is there."""
    folder = models / name
    try:
        versions = ModelStore(models).list(name) if folder.is_dir() else []
    except BentoMLException:
        return  # somebody put a broken model here with BentoML itself; ours are read without it
    if not versions:
        (folder / "latest").unlink(missing_ok=True)
        if folder.is_dir():
            folder.rmdir()
        return
    newest = max(versions, key=lambda item: item.creation_time)
    draft = models.parent / "latest.draft"
    draft.write_text(str(newest.tag.version))
    draft.replace(folder / "latest")
