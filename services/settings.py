"""The settings of a server: one typed, frozen object made from environment variables, refused at start when wrong."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from services.errors import SettingsInvalid
from services.setting_fields import (
    GapFillerSettings,
    LiveSettings,
    ModelSettings,
    PlatformSettings,
    ServerSettings,
    StoreSettings,
)

INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SECRET_MASK = "********"


class Settings(
    PlatformSettings, StoreSettings, LiveSettings, GapFillerSettings, ModelSettings, ServerSettings, BaseSettings
):
    """Everything that may be set from outside; `setting_fields` has the fields.

    Build it with `Settings.load()`, in tests with `Settings.load({"ML_SERVER_PORT": "0", …})`.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=True, allow_inf_nan=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: `load` says where the values come from."""
        return (init_settings,)

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None) -> Self:
        """The settings of `env` (default: the process's environment); an empty value counts as not set.

        Raises `SettingsInvalid` for the first value that cannot be.
        """
        source = EnvSettingsSource(cls, case_sensitive=True)
        source.env_vars = {name: value for name, value in (os.environ if env is None else env).items() if value}
        values = source()
        try:
            return cls(**values)
        except ValidationError as error:
            raise _refusal(cls, error) from error

    @field_validator("allowed_hosts", "gap_filler_instance_types", "gap_filler_regions", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))

    @field_validator("gap_filler_instance_types")
    @classmethod
    def _instance_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_match(value, INSTANCE_TYPE, "an instance type such as m5.large")

    @field_validator("gap_filler_regions")
    @classmethod
    def _regions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_match(value, REGION, "a region such as us-east-1")

    @field_validator("gap_filler_aws_region")
    @classmethod
    def _home_region(cls, value: str) -> str:
        return _all_match((value,), REGION, "a region such as us-east-1")[0]

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("admin_token")
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, as it travels in a header")
        return value

    @field_validator("allow_model_training")
    @classmethod
    def _never_train(cls, value: bool) -> bool:
        if value:
            raise ValueError("must be false: this server only serves models that were trained elsewhere")
        return value

    @model_validator(mode="before")
    @classmethod
    def _folders(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Absolute folders, as other processes of the server may have another working directory."""
        given = dict(values)
        data_dir = _folder(given, "ML_SERVER_DATA_DIR", Path("data"))
        _folder(given, "MODEL_UPLOAD_DIR", data_dir / "models")
        _folder(given, "DECISION_ENGINE_DIR", data_dir / "engines")
        return given

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

    @property
    def host_names(self) -> tuple[str, ...]:
        """The Host names that requests may carry; ("*",) for any."""
        if self.allowed_hosts:
            return self.allowed_hosts
        return LOOPBACK if self.loopback else ("*",)

    @property
    def local_url(self) -> str:
        """The address under which this machine reaches the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"

    def public(self) -> dict[str, Any]:
        """Environment name → JSON value, secrets left out."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(secret_fields()))

    def secrets(self) -> tuple[str, ...]:
        """The secret values themselves, for whoever must keep them out of what is written."""
        values = (getattr(self, name) for name in secret_fields())
        return tuple(value.get_secret_value() for value in values if value is not None)


def secret_fields() -> tuple[str, ...]:
    """The names of the fields that hold secrets."""
    return tuple(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))


def _folder(given: dict[str, Any], name: str, default: Path) -> Path:
    path = Path(given.get(name) or default).expanduser().absolute()
    given[name] = path
    return path


def _all_match(values: tuple[str, ...], pattern: re.Pattern[str], meaning: str) -> tuple[str, ...]:
    for value in values:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is not {meaning}")
    return values


def _refusal(settings: type[Settings], error: ValidationError) -> SettingsInvalid:
    """Pydantic's first complaint in our words; a secret's value is not repeated."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    secret = name in {settings.model_fields[hidden].alias for hidden in secret_fields()}
    value = SECRET_MASK if secret else _shown(first["input"])
    advice = first["msg"].removeprefix("Value error, ")
    if value.startswith("tcp://"):
        advice += " (Kubernetes sets this for a Service of that name: set enableServiceLinks to false)"
    return SettingsInvalid(name, value, advice)


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
