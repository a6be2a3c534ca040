"""The folder of uploaded engines: there whole or not at all, whatever a writer leaves behind."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engines.catalogue import Catalogue
from engines.errors import EngineExists, EngineInUse, EngineNotFound
from engines.uploads import READY, RECORD, SOURCE, EngineRecord, Uploads

TEXT = b"print('an engine')\n"


def record(version: str = "v1", name: str = "mine", at: int = 0) -> EngineRecord:
    return EngineRecord(
        engine_id=f"{name}:{version}",
        name=name,
        version=version,
        description="d",
        declared_name="x",
        declared_version="1",
        class_name="X",
        config_schema={},
        config_defaults={},
        contract=1,
        sha256=hashlib.sha256(TEXT).hexdigest(),
        size_bytes=len(TEXT),
        filename="x.py",
        uploaded_at=datetime(2026, 1, 1, 0, at, tzinfo=UTC),
        uploaded_by="me",
    )


def test_what_is_added_is_there_for_every_reader_byte_for_byte(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "not" / "yet")
    assert uploads.list() == []
    uploads.add(record(), TEXT)
    other = Uploads(uploads.root)
    assert other.get("mine:v1") == record()
    assert other.text("mine:v1") == TEXT
    assert (uploads.root / "mine" / "v1" / SOURCE).stat().st_mode & 0o777 == 0o600


def test_versions_are_never_overwritten(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.add(record(), TEXT)
    with pytest.raises(EngineExists):
        uploads.add(record(), b"other")
    assert uploads.text("mine:v1") == TEXT
    assert list((tmp_path / ".staging").iterdir()) == []


def test_of_many_that_add_the_same_version_one_succeeds(tmp_path: Path) -> None:
    def add(_: int) -> bool:
        try:
            Uploads(tmp_path).add(record(), TEXT)
        except EngineExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(16))) == 1
    assert Uploads(tmp_path).text("mine:v1") == TEXT


@pytest.mark.parametrize("missing", [READY, RECORD])
def test_a_version_that_is_not_whole_is_not_seen(tmp_path: Path, missing: str) -> None:
    uploads = Uploads(tmp_path)
    uploads.add(record(), TEXT)
    (tmp_path / "mine" / "v1" / missing).unlink()
    assert uploads.get("mine:v1") is None
    assert uploads.list() == []


def test_a_file_that_was_changed_afterwards_is_not_run(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.add(record(), TEXT)
    (tmp_path / "mine" / "v1" / SOURCE).write_bytes(b"import evil")
    with pytest.raises(EngineNotFound):
        uploads.text("mine:v1")


def test_the_next_writer_removes_what_a_crash_left(tmp_path: Path) -> None:
    left = tmp_path / ".staging" / "half"
    left.mkdir(parents=True)
    (left / SOURCE).write_bytes(b"half an")
    Uploads(tmp_path).add(record(), TEXT)
    assert os.listdir(tmp_path / ".staging") == []  # noqa: PTH208


def test_deleting_frees_the_version_and_the_name(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.uploads.add(record(), TEXT)
    catalogue.delete("mine:v1")
    assert not (tmp_path / "mine").exists()
    with pytest.raises(EngineNotFound):
        catalogue.delete("mine:v1")
    with pytest.raises(EngineInUse):
        catalogue.delete("spot_optimizer_v1")
    assert catalogue.check_free("mine", "v1") == "mine:v1"
    with pytest.raises(EngineExists):
        catalogue.check_free("spot_optimizer_v1", "v9")


def test_a_name_means_its_newest_upload(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.uploads.add(record("v10", at=1), TEXT)
    catalogue.uploads.add(record("v9", at=2), TEXT)
    assert catalogue.resolve("mine").engine_id == "mine:v9"
    assert catalogue.resolve("mine:v10").engine_id == "mine:v10"
    with pytest.raises(EngineNotFound) as caught:
        catalogue.get("mine:v11")
    assert "mine:v10" in caught.value.nearest


@pytest.mark.parametrize("engine_id", ["../../etc:passwd", "mine:../v1", "a:b:c", ".staging:x", "", ":", "Mine:v1"])
def test_ids_that_no_upload_can_have(tmp_path: Path, engine_id: str) -> None:
    with pytest.raises(EngineNotFound):
        Catalogue(tmp_path).get(engine_id)
