"""The mission's block of settings starts the server as it stands: only hosts, folders and the port of Redis differ."""

from pathlib import Path

import pytest

from gapfill.market.server import MarketOptions, build_app, build_source
from gapfill.market.threaded import serve_in_thread
from tests.redis_server import RedisServer
from tests.running_server import eventually, free_port, running

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)

EXAMPLE = Path(__file__).parents[2] / ".env.example"
TOKEN = "an-admin-token-for-this-test-only-0123456789"


def mission_block() -> dict[str, str]:
    """Names and values of `.env.example` that are not commented out."""
    lines = (line.strip() for line in EXAMPLE.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_block_starts_four_replicas_on_redis(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    options = MarketOptions(
        seed=3, regions=("us-east-1", "us-west-2", "eu-west-1"), instance_types=("m5.large", "m5.xlarge", "c5.large")
    )
    try:
        with serve_in_thread(build_app(*build_source(options))) as market:
            redirected = {
                "ML_SERVER_HOST": "127.0.0.1",
                "MODEL_UPLOAD_DIR": str(tmp_path / "app" / "models" / "uploaded"),
                "DECISION_ENGINE_DIR": str(tmp_path / "app" / "engines"),
                "REDIS_HOST": "127.0.0.1",
                "REDIS_PORT": str(redis.port),
                "CENTRAL_PLATFORM_URL": f"http://127.0.0.1:{free_port()}",
            }
            aws = {"AWS_ENDPOINT_URL_EC2": market, "AWS_ENDPOINT_URL_PRICING": market}
            aws |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
            block = mission_block()
            env = {**block, **redirected, **aws, "ML_SERVER_ADMIN_TOKEN": TOKEN, "LIVE_INTERVAL_SECONDS": "5"}
            with running(tmp_path / "data", env, port=int(block["ML_SERVER_PORT"])) as server:
                assert "Admin token" not in server.said
                server.token = TOKEN
                eventually(lambda: len(server.pids("ServeReplica:api:Ingress")) == 4, 60, "four ingress replicas")
                with server.client() as api:
                    eventually(lambda: api.get("/predictions/latest").status_code == 200, 60, "prices of the live loop")
                    rows = api.get("/predictions/latest").json()["predictions"]
                    engines = api.get("/engines/list").json()
                assert {row["region"] for row in rows} == {"us-east-1", "us-west-2", "eu-west-1"}
                assert [row["engine_id"] for row in engines if row["active"]] == ["spot_optimizer_v1"]
                assert not (tmp_path / "data" / "store.sqlite3").exists()
    finally:
        redis.stop()
