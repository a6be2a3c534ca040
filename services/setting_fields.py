"""The fields of the settings, room by room; each field's alias is the name of its environment variable."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import NoDecode

Names = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=1, le=65535)]


class ServerSettings(BaseModel):
    """The server itself."""

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
    allow_weak_confinement: bool = Field(
        False,
        alias="ALLOW_WEAK_CONFINEMENT",
        description="Whether uploads are taken where their code can hardly be confined (tier C).",
    )


class ModelSettings(BaseModel):
    """Models."""

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
    model_score_timeout_s: float = Field(
        10.0,
        alias="MODEL_SCORE_TIMEOUT_SECONDS",
        gt=0,
        le=600,
        description="Seconds that a model scored in a process of its own may take for an answer.",
    )
    allow_model_training: bool = Field(
        False, alias="ALLOW_MODEL_TRAINING", description="Must be false: this server never trains."
    )


class GapFillerSettings(BaseModel):
    """The gap filler."""

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


class LiveSettings(BaseModel):
    """Decisions and the live loop."""

    engine_dir: Path = Field(
        Path(), alias="DECISION_ENGINE_DIR", description="The folder of uploaded engines; default: DATA_DIR/engines."
    )
    engine_active: str = Field(
        "spot_optimizer_v1",
        alias="DECISION_ENGINE_ACTIVE",
        pattern=r"^[a-z0-9][a-z0-9._:-]{0,126}$",
        description="The engine (a name or an id) to select while the store has no active pointer.",
    )
    engine_upload_max_bytes: int = Field(
        512 * 1024,
        alias="ENGINE_UPLOAD_MAX_BYTES",
        ge=1024,
        le=512 * 1024,  # its syntax tree takes a few hundred times as much memory
        description="The largest engine file taken in, in bytes.",
    )
    engine_timeout_s: float = Field(
        5.0,
        alias="DECISION_ENGINE_TIMEOUT_SECONDS",
        gt=0,
        le=60,
        description="Seconds an uploaded engine may take for one answer; then it is ended and another one decides.",
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
    drift_window_s: float = Field(
        3600.0,
        alias="DRIFT_WINDOW_SECONDS",
        ge=10,
        le=7 * 86_400,
        description="Seconds of live rows that are held against a model's reference at a time.",
    )
    drift_windows: int = Field(
        3,
        alias="DRIFT_WINDOWS",
        ge=1,
        le=100,
        description="Windows running in which a feature must drift for an alert.",
    )
    drift_psi: float = Field(
        0.25, alias="DRIFT_PSI", gt=0, le=100, description="Population stability index from which on a feature drifts."
    )
    drift_ks: float = Field(
        0.15, alias="DRIFT_KS", gt=0, le=1, description="Kolmogorov-Smirnov distance from which on a feature drifts."
    )
    refuse_unskilled: bool = Field(
        False,
        alias="REFUSE_UNSKILLED_FORECASTS",
        description="Whether predict refuses models that were no better than the naive forecast over the last week.",
    )
    event_log_keep: int = Field(
        2000,
        alias="EVENT_LOG_KEEP",
        ge=10,
        description="Entries kept in the event log for clients that resume.",
    )


class StoreSettings(BaseModel):
    """The store."""

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


class PlatformSettings(BaseModel):
    """The central platform."""

    central_platform_url: str | None = Field(
        None,
        alias="CENTRAL_PLATFORM_URL",
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        description="The address of the core platform.",
    )
    central_platform_api_key: SecretStr | None = Field(
        None, alias="CENTRAL_PLATFORM_API_KEY", description="The key that the core platform knows this server by."
    )
    central_platform_pull_s: float = Field(
        60.0,
        alias="CENTRAL_PLATFORM_PULL_SECONDS",
        ge=0,
        le=86_400,
        description="Seconds between two looks at the core platform's clusters; 0: it is not asked for any.",
    )
