"""The settings of a server: one typed, frozen object made from environment variables, refused at start when wrong."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from services.errors import SettingsInvalid

Names = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=1, le=65535)]

INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SECRET_MASK = "********"


class Settings(BaseSettings):
    """Everything that may be set from outside; each field's alias is the name of its environment variable.

    Build it with `Settings.load()`, in tests with `Settings.load({"ML_SERVER_PORT": "0", …})`.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=True, allow_inf_nan=False)

    # The server

    host: str = Field("127.0.0.1", alias="ML_SERVER_HOST", min_length=1, description="The address to listen on.")
    port: Port = Field(8001, alias="ML_SERVER_PORT", description="The port to listen on.")
    workers: int = Field(1, alias="ML_SERVER_WORKERS", ge=1, le=64, description="How many ingress replicas serve.")
    data_dir: Path = Field(
        Path("data"), alias="ML_SERVER_DATA_DIR", description="The folder that holds what the server keeps."
    )
    admin_token: SecretStr | None = Field(
        None,
        alias="ML_SERVER_ADMIN_TOKEN",
        min_length=32,
        description="A token with the role admin; without one the first start makes a key and prints it once.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="ML_SERVER_LOG_LEVEL", description="The least severe log line that is written."
    )
    log_dir: Path | None = Field(
        None, alias="ML_SERVER_LOG_DIR", description="The folder of one log file per component; default: stderr."
    )
    allowed_hosts: Names = Field(
        (),
        alias="ALLOWED_HOSTS",
        description="Host names that requests may carry; empty: loopback names on a loopback bind, else any.",
    )
    rate_limit_per_minute: int = Field(
        60_000, alias="RATE_LIMIT_PER_MINUTE", ge=0, description="Requests a key may make per minute; 0: no limit."
    )

    # Models

    model_dir: Path = Field(
        Path(), alias="MODEL_UPLOAD_DIR", description="The root of staging and model store; default: DATA_DIR/models."
    )
    model_active_version: str | None = Field(
        None,
        alias="MODEL_ACTIVE_VERSION",
        pattern=r"^([a-z0-9][a-z0-9._-]{0,62}:)?[a-z0-9][a-z0-9._-]{0,62}$",
        description="The version (or name:version) to activate while the store has no active pointer.",
    )
    model_upload_max_bytes: int = Field(
        512 * 1024**2, alias="MODEL_UPLOAD_MAX_BYTES", ge=1024, description="The largest model file taken in, in bytes."
    )
    allow_model_training: bool = Field(
        False, alias="ALLOW_MODEL_TRAINING", description="Must be false: this server never trains."
    )

    # The gap filler

    gap_filler_enabled: bool = Field(
        True, alias="GAP_FILLER_ENABLED", description="Whether the gap of each active model is filled unasked."
    )
    gap_filler_aws_region: str = Field(
        "us-east-1", alias="GAP_FILLER_AWS_REGION", description="The home region: DescribeRegions and clients' default."
    )
    gap_filler_instance_types: Names = Field(
        ("m5.large", "m5.xlarge", "c5.large"),
        alias="GAP_FILLER_INSTANCE_TYPES",
        min_length=1,
        description="Instance types that are tracked, separated by commas.",
    )
    gap_filler_regions: Names = Field(
        ("us-east-1", "us-west-2", "eu-west-1"),
        alias="GAP_FILLER_REGIONS",
        min_length=1,
        description="Regions that are tracked, separated by commas.",
    )
    gap_filler_historic_days_max: int = Field(
        90,
        alias="GAP_FILLER_HISTORIC_DAYS_MAX",
        ge=1,
        le=3650,
        description="How many days back a fill may reach; AWS itself keeps 90.",
    )

    # Decisions and the live loop

    engine_dir: Path = Field(
        Path(), alias="DECISION_ENGINE_DIR", description="The folder of uploaded engines; default: DATA_DIR/engines."
    )
    engine_active: str = Field(
        "spot_optimizer_v1",
        alias="DECISION_ENGINE_ACTIVE",
        pattern=r"^[a-z0-9][a-z0-9._:-]{0,126}$",
        description="The engine (a name or an id) to select while the store has no active pointer.",
    )
    live_interval_s: float = Field(
        60.0, alias="LIVE_INTERVAL_SECONDS", ge=1, le=3600, description="Seconds from one live tick to the next."
    )
    data_max_age_s: float = Field(
        900.0,
        alias="DATA_MAX_AGE_SECONDS",
        ge=1,
        description="Seconds that live data may be old before predict is 503.",
    )
    event_log_keep: int = Field(
        2000,
        alias="EVENT_LOG_KEEP",
        ge=10,
        description="Entries kept in the event log for clients that resume.",
    )

    # The store

    store: Literal["sqlite", "redis"] = Field(
        "sqlite", alias="LOCAL_PREDICTION_STORE", description="Where pointers, jobs, keys and events are kept."
    )
    store_namespace: str = Field(
        "cloudoptim",
        alias="STORE_NAMESPACE",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="The prefix of all keys in Redis; servers that share a Redis each need their own.",
    )
    redis_host: str = Field("127.0.0.1", alias="REDIS_HOST", min_length=1, description="The host of the Redis server.")
    redis_port: Port = Field(6379, alias="REDIS_PORT", description="The port of the Redis server.")
    redis_db: int = Field(0, alias="REDIS_DB", ge=0, description="The number of the Redis database.")
    redis_username: str | None = Field(None, alias="REDIS_USERNAME", description="The Redis user, where it has any.")
    redis_password: SecretStr | None = Field(None, alias="REDIS_PASSWORD", description="The password of Redis.")
    redis_tls: bool = Field(False, alias="REDIS_TLS", description="Whether Redis is spoken to over TLS.")

    # The central platform

    central_platform_url: str | None = Field(
        None,
        alias="CENTRAL_PLATFORM_URL",
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        description="The address of the core platform.",
    )
    central_platform_api_key: SecretStr | None = Field(
        None, alias="CENTRAL_PLATFORM_API_KEY", description="The key that the core platform knows this server by."
    )

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
