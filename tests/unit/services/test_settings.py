"""Settings: every name, every default, and what is refused at start."""

import pickle
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from services.errors import SettingsInvalid
from services.settings import Settings

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / ".env.example"
ALIASES = {name: str(field.alias) for name, field in Settings.model_fields.items()}

MISSION = {
    "ML_SERVER_HOST": "0.0.0.0",
    "ML_SERVER_PORT": "8001",
    "ML_SERVER_WORKERS": "4",
    "MODEL_UPLOAD_DIR": "/app/models/uploaded",
    "MODEL_ACTIVE_VERSION": "v1",
    "ALLOW_MODEL_TRAINING": "false",
    "GAP_FILLER_ENABLED": "true",
    "GAP_FILLER_AWS_REGION": "us-east-1",
    "GAP_FILLER_INSTANCE_TYPES": "m5.large,m5.xlarge,c5.large",
    "GAP_FILLER_REGIONS": "us-east-1,us-west-2,eu-west-1",
    "GAP_FILLER_HISTORIC_DAYS_MAX": "90",
    "DECISION_ENGINE_DIR": "/app/engines",
    "DECISION_ENGINE_ACTIVE": "spot_optimizer_v1",
    "LOCAL_PREDICTION_STORE": "redis",
    "REDIS_HOST": "redis.internal",
    "REDIS_PORT": "6379",
    "CENTRAL_PLATFORM_URL": "http://core-platform:8000",
    "CENTRAL_PLATFORM_API_KEY": "replace-me",
}


def example() -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(EXAMPLE).items()}


def test_the_example_is_the_missions_block_and_starts_as_it_stands() -> None:
    assert example() == MISSION
    settings = Settings.load(example())
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 8001, 4)
    assert settings.model_dir == Path("/app/models/uploaded")
    assert settings.gap_filler_instance_types == ("m5.large", "m5.xlarge", "c5.large")
    assert settings.gap_filler_regions == ("us-east-1", "us-west-2", "eu-west-1")
    assert (settings.store, settings.redis_host, settings.redis_port) == ("redis", "redis.internal", 6379)
    assert settings.central_platform_api_key is not None
    assert settings.central_platform_api_key.get_secret_value() == "replace-me"
    assert settings.host_names == ("*",)


def test_what_the_example_only_mentions_is_the_default() -> None:
    mentioned = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    assert mentioned.keys() | MISSION.keys() == set(ALIASES.values())
    assert Settings.load(mentioned) == Settings.load({})


def test_every_setting_has_its_line_in_the_documentation() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(ALIASES.values())
    for name, default, _ in rows:
        value = default.strip("`")
        if value != "none" and not value.startswith("<data>"):
            assert Settings.load({name: value}) == Settings.load({}), name


def test_every_field_has_its_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_process_environment_is_the_default_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_SERVER_PORT", "9009")
    assert Settings.load().port == 9009
    assert Settings.load({}).port == 8001


def test_folders_are_absolute_and_follow_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.load({"ML_SERVER_DATA_DIR": "kept here"})
    assert settings.data_dir == tmp_path / "kept here"
    assert settings.model_dir == tmp_path / "kept here" / "models"
    assert settings.engine_dir == tmp_path / "kept here" / "engines"
    assert Settings.load({"DECISION_ENGINE_DIR": "e"}).engine_dir == tmp_path / "e"


def test_lists_are_split_trimmed_and_told_apart() -> None:
    settings = Settings.load({"GAP_FILLER_REGIONS": " us-east-1, eu-west-1,,us-east-1 ", "ALLOWED_HOSTS": "a.example"})
    assert settings.gap_filler_regions == ("us-east-1", "eu-west-1")
    assert settings.host_names == ("a.example",)


def test_an_empty_value_counts_as_not_set() -> None:
    assert Settings.load(dict.fromkeys(ALIASES.values(), "")) == Settings.load({})


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("ALLOW_MODEL_TRAINING", "true", "must be false"),
        ("ALLOW_MODEL_TRAINING", "perhaps", "boolean"),
        ("ML_SERVER_PORT", "0", "greater than or equal to 1"),
        ("ML_SERVER_PORT", "65536", "less than or equal to 65535"),
        ("ML_SERVER_PORT", "tcp://10.0.0.1:8001", "enableServiceLinks"),
        ("ML_SERVER_WORKERS", "0", "greater than or equal to 1"),
        ("MODEL_ACTIVE_VERSION", "Bad Name", "pattern"),
        ("GAP_FILLER_INSTANCE_TYPES", "m5.large,m5", "'m5' is not an instance type"),
        ("GAP_FILLER_REGIONS", "us-east-1,everywhere", "'everywhere' is not a region"),
        ("GAP_FILLER_REGIONS", ",", "at least 1"),
        ("GAP_FILLER_AWS_REGION", "moon", "'moon' is not a region"),
        ("GAP_FILLER_HISTORIC_DAYS_MAX", "ninety", "integer"),
        ("LOCAL_PREDICTION_STORE", "mongo", "'sqlite' or 'redis'"),
        ("CENTRAL_PLATFORM_URL", "core-platform:8000", "pattern"),
        ("LIVE_INTERVAL_SECONDS", "nan", "finite"),
        ("LIVE_INTERVAL_SECONDS", "7200", "less than or equal to 3600"),
        ("DATA_MAX_AGE_SECONDS", "inf", "finite"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, advice: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        Settings.load({name: value})
    assert refused.value.name == name
    assert advice in refused.value.advice
    assert name in str(refused.value)


@pytest.mark.parametrize("token", ["too-short", "has a space " * 4, "é" * 40])
def test_a_wrong_secret_is_not_repeated(token: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        Settings.load({"ML_SERVER_ADMIN_TOKEN": token})
    assert token not in str(refused.value)


def test_secrets_stay_out_of_what_is_shown() -> None:
    env = {name: "s3cret-" + name.lower() for name in ("REDIS_PASSWORD", "CENTRAL_PLATFORM_API_KEY")}
    settings = Settings.load(env | {"ML_SERVER_ADMIN_TOKEN": "s3cret-" + "x" * 40})
    assert "s3cret" not in f"{settings} {settings!r} {settings.public()}"
    assert settings.public()["ML_SERVER_PORT"] == 8001
    assert sorted(settings.secrets()) == sorted([*env.values(), "s3cret-" + "x" * 40])


def test_settings_are_frozen_and_travel_between_processes() -> None:
    settings = Settings.load(example())
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(ValidationError):
        settings.port = 1
