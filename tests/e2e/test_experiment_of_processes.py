"""An experiment on a whole server: the ingress and the live loop, two processes, follow it, count, and let it go."""

from typing import Any

import pytest

from bench import soak_models
from tests.running_server import RunningServer, eventually

# A whole server answers here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)

ASK = {"instance_type": "m5.large", "region": "us-east-1"}
CHALLENGER = f"{soak_models.NAME}:v2"


def test_every_process_takes_part_and_leaves(server: RunningServer) -> None:
    with server.client() as api:
        soak_models.upload(api)
        active = api.post("/predict/spot-interruption", json=ASK).raise_for_status().json()["model_id"]
        arms = [{"model_id": active, "weight": 50}, {"model_id": CHALLENGER, "weight": 50}]
        began = api.post("/experiments", json={"kind": "ab", "arms": arms, "guard": {}})
        assert began.status_code == 201, began.text
        path = f"/experiments/{began.json()['experiment_id']}"
        pools = api.post("/predict/spot-interruption", json=ASK).json()["pools"]
        served = {pool["pool_id"]: pool["model_id"] for pool in pools}

        def of_the_loop() -> dict[str, str]:
            rows = api.get("/predictions/latest").json()["predictions"]
            told = {row["pool_id"]: row.get("interruption_probability_model_id") for row in rows}
            return told if set(told.values()) == {active, CHALLENGER} else {}

        assert eventually(of_the_loop, 60, "a tick of both arms").items() >= served.items()

        def counted() -> dict[str, Any]:
            standing: dict[str, Any] = api.get(path).json()["standing"]
            rows = [arm["rows"] for arm in standing.values()]
            done = all(one["ticked"] for one in rows) and sum(one["served"] for one in rows) >= len(pools)
            return standing if done else {}

        standing = eventually(counted, 60, "the counts of both processes")
        assert sum(arm["errors"] for arm in standing.values()) == 0
        assert api.post(f"{path}/abort").json()["status"] == "aborted"
        assert api.post("/predict/spot-interruption", json=ASK).json()["experiment"] is None

        def let_go() -> bool:
            return "experiment_id" not in api.get("/predictions/latest").json()["models"]["spot_interruption"]

        assert eventually(let_go, 60, "a tick without the experiment")
        for model_id in soak_models.soak_models():  # the server is shared: it is left as it was found
            api.delete(f"/models/{model_id}").raise_for_status()
