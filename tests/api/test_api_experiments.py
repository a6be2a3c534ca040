"""Experiments over HTTP: a whole life of each kind, who answers whom, and every way to end."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.api_server import Served, until
from tests.api.api_steps import activate, problem, upload
from tests.api.conftest import World
from tests.api.test_api_streams import news, read, stream

CONTROL = "spot-interruption:v1"
CHALLENGER = "spot-interruption:v2"
THIRD = "spot-interruption:v3"
ASK = {"instance_type": "m5.large", "region": "us-east-1"}
PLACES = [
    {"instance_type": kind, "region": region}
    for kind in ("m5.large", "m5.xlarge", "c5.large")
    for region in ("us-east-1", "eu-west-1")
]


@pytest.fixture(scope="module")
def versions(world: World) -> Iterator[None]:
    """Two more versions of the interruption model: the same estimator under other names."""
    with world.served.client("operator") as api:
        for version in ("v2", "v3"):
            answer = upload(api, world.models.interruption, "spot-interruption", version)
            assert answer.status_code == 201, answer.text
        yield
        for model_id in (CHALLENGER, THIRD):
            assert api.delete(f"/models/{model_id}").status_code == 200


@pytest.fixture
def operator(served: Served, versions: None) -> Iterator[httpx.Client]:
    """A client that may change experiments; whatever it leaves running is aborted, and v1 is active again."""
    with served.client("operator") as api:
        yield api
        for one in api.get("/experiments", params={"status": "running"}).json()["experiments"]:
            api.post(f"/experiments/{one['experiment_id']}/abort")
        if served.house.activations.uses(CONTROL) == []:
            activate(api, CONTROL)


def begin(api: httpx.Client, weights: tuple[float, float] | None = (50, 50), **more: Any) -> dict[str, Any]:
    """An A/B of v1 and v2, or with None a shadow of v2."""
    arms: list[dict[str, Any]] = [{"model_id": CONTROL}, {"model_id": CHALLENGER}]
    if weights is None:
        order = {"kind": "shadow", "arms": arms[1:], **more}
    else:
        order = {"kind": "ab", "arms": [arm | {"weight": w} for arm, w in zip(arms, weights, strict=True)], **more}
    answer = api.post("/experiments", json=order)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def ask(api: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = api.post("/predict/spot-interruption", json=ASK | more)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def everywhere(api: httpx.Client) -> dict[str, tuple[str, str]]:
    """Pool → (arm, model) of every pool that answers."""
    found = {}
    for place in PLACES:
        for pool in api.post("/predict/spot-interruption", json=place).json()["pools"]:
            found[pool["pool_id"]] = (pool["experiment"]["arm"], pool["model_id"])
    return found


def test_pools_are_divided_and_stay_where_they_are(operator: httpx.Client) -> None:
    assert ask(operator)["experiment"] is None
    one = begin(operator, (50, 50))
    assert [(arm["arm"], arm["model_id"], arm["weight"]) for arm in one["arms"]] == [
        ("control", CONTROL, 5000),
        ("challenger", CHALLENGER, 5000),
    ]
    first = everywhere(operator)
    assert set(first.values()) == {("control", CONTROL), ("challenger", CHALLENGER)}
    assert everywhere(operator) == first
    told = ask(operator)
    assert told["experiment"]["experiment_id"] == one["experiment_id"]
    assert first[told["pool_id"]] == (told["experiment"]["arm"], told["model_id"])
    zone = told["availability_zone"]
    assert ask(operator, availability_zone=zone)["model_id"] == told["model_id"]
    outside = ask(operator, model_id=CHALLENGER)
    assert outside["model_id"] == CHALLENGER
    assert outside["experiment"] is None

    path = f"/experiments/{one['experiment_id']}"
    grown = operator.post(f"{path}/weights", json={"weights": {"control": 20, "challenger": 80}}).json()
    assert [arm["weight"] for arm in grown["arms"]] == [2000, 8000]
    second = everywhere(operator)
    assert all(second[pool] == first[pool] for pool in first if first[pool][0] == "challenger")
    assert operator.post(f"{path}/weights", json={"weights": {"control": 1}}).json()["arms"][1]["weight"] == 0
    assert set(everywhere(operator).values()) == {("control", CONTROL)}
    operator.post(f"{path}/weights", json={"weights": {"challenger": 1}})
    assert set(everywhere(operator).values()) == {("challenger", CHALLENGER)}
    history = operator.get(path).json()["history"]
    assert [line["what"] for line in history] == ["started", *["weights_changed"] * 3]


def test_ticks_are_divided_as_requests_are(operator: httpx.Client) -> None:
    one = begin(operator, (50, 50))
    arms = everywhere(operator)

    def told() -> list[dict[str, Any]]:
        latest = operator.get("/predictions/latest").json()
        is_new = latest["models"]["spot_interruption"].get("experiment_id") == one["experiment_id"]
        rows: list[dict[str, Any]] = latest["predictions"] if is_new else []
        return rows

    rows = until(told, 20)
    assert {
        row["pool_id"]: (row["interruption_probability_arm"], row["interruption_probability_model_id"]) for row in rows
    }.items() >= arms.items()


def test_a_shadow_scores_everything_and_serves_nobody(served: Served, operator: httpx.Client) -> None:
    one = begin(operator, None)
    assert [(arm["model_id"], arm["weight"]) for arm in one["arms"]] == [(CONTROL, 10_000), (CHALLENGER, 0)]
    assert set(everywhere(operator).values()) == {("control", CONTROL)}
    assert served.house.experiments.shadow.settle(20)

    def counted() -> dict[str, Any]:
        standing: dict[str, Any] = operator.get(f"/experiments/{one['experiment_id']}").json()["standing"]
        enough = standing["challenger"]["rows"]["shadow"] > 30 and standing["control"]["rows"]["ticked"] > 0
        return standing if enough else {}

    standing = until(counted, 30)
    assert standing["challenger"]["rows"]["served"] == 0
    assert standing["challenger"]["latency_ms"]["calls"] == len(PLACES)
    assert standing["control"]["latency_ms"]["p95"] >= standing["control"]["latency_ms"]["p50"] > 0
    assert standing["control"]["rows"]["served"] > 10
    assert standing["control"]["tracked_pools"] > 10
    problem(operator.post(f"/experiments/{one['experiment_id']}/weights", json={"weights": {"control": 1}}), 422)


def test_there_is_not_enough_data_at_first(operator: httpx.Client) -> None:
    one = begin(operator)
    told = operator.get(f"/experiments/{one['experiment_id']}").json()
    (comparison,) = told["comparisons"]
    assert comparison["verdict"] == "not_enough_data"
    assert comparison["skill_difference"] is None
    assert "control: 0 of 200 known outcomes" in comparison["missing"]
    assert told["standing"]["challenger"]["quality"]["missing"]
    assert told["enough"] == {"outcomes": 200, "pools": 10, "pools_of_each": 5}


def test_a_promotion_activates_the_challenger(served: Served, operator: httpx.Client) -> None:
    one = begin(operator)
    path = f"/experiments/{one['experiment_id']}"
    problem(operator.post(f"{path}/promote", json={"arm": "control"}), 422)
    problem(operator.post(f"{path}/promote", json={"arm": "nobody"}), 422)
    with stream(served, "/experiments/live") as socket:
        read(socket)
        told = operator.post(f"{path}/promote").json()
        message = news(socket, "experiments", 1)[0]
    assert told["status"] == "promoted"
    assert (told["model_id"], told["winner"]) == (CHALLENGER, "challenger")
    assert message["experiments"][0]["experiment_id"] == one["experiment_id"]
    after = ask(operator)
    assert (after["model_id"], after["generation"], after["experiment"]) == (CHALLENGER, told["generation"], None)
    assert problem(operator.post(f"{path}/promote"), 409, "experiment-ended")["ended_as"] == "promoted"
    assert operator.get(path).json()["status"] == "promoted"
    with served.client("admin") as admin:
        assert "experiment.promoted" in admin.get("/audit").text


def test_an_abort_leaves_the_active_version_alone(operator: httpx.Client) -> None:
    one = begin(operator, (0, 100))
    assert set(everywhere(operator).values()) == {("challenger", CHALLENGER)}
    path = f"/experiments/{one['experiment_id']}"
    told = operator.post(f"{path}/abort", json={"reason": "seen enough"}).json()
    assert (told["status"], told["reason"]) == ("aborted", "seen enough")
    after = ask(operator)
    assert (after["model_id"], after["experiment"]) == (CONTROL, None)
    problem(operator.post(f"{path}/abort"), 409, "experiment-ended")
    problem(operator.post(f"{path}/weights", json={"weights": {"control": 1}}), 409, "experiment-ended")
    listed = operator.get("/experiments", params={"status": "aborted"}).json()["experiments"]
    assert one["experiment_id"] in {row["experiment_id"] for row in listed}


def test_another_activation_ends_it(operator: httpx.Client) -> None:
    one = begin(operator, (0, 100))
    activate(operator, THIRD)
    assert ask(operator)["model_id"] == THIRD, "from the next request on, not only once it was noticed"
    path = f"/experiments/{one['experiment_id']}"
    ended = until(lambda: (told := operator.get(path).json())["status"] != "running" and told, 10)
    assert (ended["status"], ended["reason"]) == ("aborted", f"{THIRD} was activated")


def test_models_in_an_experiment_are_not_deleted(operator: httpx.Client) -> None:
    one = begin(operator, None)
    told = problem(operator.delete(f"/models/{CHALLENGER}"), 409, "model-in-use")
    assert one["experiment_id"] in told["detail"]


def test_what_cannot_be_an_experiment(served: Served, operator: httpx.Client) -> None:
    def order(*arms: dict[str, Any], **more: Any) -> httpx.Response:
        return operator.post("/experiments", json={"kind": "ab", "arms": list(arms), **more})

    v1, v2 = {"model_id": CONTROL, "weight": 1}, {"model_id": CHALLENGER, "weight": 1}
    price = {"model_id": "spot-price:v1", "weight": 1}
    problem(order(v1), 422)
    problem(order(v2, {"model_id": THIRD, "weight": 1}), 422)
    problem(order(v1, v1), 422)
    problem(order(v1, price), 422)
    problem(order(v1, {"model_id": "nobody:v1", "weight": 1}), 404, "model-not-found")
    problem(order(v1, {"model_id": CHALLENGER}), 422)
    problem(order(v1 | {"weight": 0}, v2 | {"weight": 0}), 422)
    problem(order(v1, v2 | {"weight": -1}), 422)
    problem(order(v1, v2 | {"weight": 0.00001}), 422)
    problem(order(v1 | {"arm": "same"}, v2 | {"arm": "same"}), 422)
    problem(order(v1, v2, kind="shadow"), 422)
    problem(order(v1, v2, guard={"min_requests": 1}), 422)
    problem(order(), 422)
    problem(operator.get("/experiments/nobody"), 404, "experiment-not-found")
    with served.client("invoker") as invoker:
        problem(invoker.post("/experiments", json={"kind": "ab", "arms": [v1, v2]}), 403)
    assert operator.get("/experiments", params={"status": "running"}).json()["experiments"] == []
    begin(operator)
    problem(order(v1, v2), 409, "experiment-running")


def test_the_guard_takes_out_a_challenger_that_errs(served: Served, operator: httpx.Client) -> None:
    one = begin(operator, (0, 100), guard={"min_requests": 50})
    assert ask(operator)["model_id"] == CHALLENGER
    tally = served.house.experiments.arms.tally
    tally.add(one["experiment_id"], "challenger", calls=60, errors=60, error="a tree fell over")
    path = f"/experiments/{one['experiment_id']}"
    ended = until(lambda: (told := operator.get(path).json())["status"] != "running" and told, 20)
    assert (ended["status"], ended["ended_by"]) == ("rolled_back", "the guard")
    assert ended["reason"].startswith(f"{CHALLENGER} errs: 60 of its last 6")
    assert ended["history"][-1]["what"] == "rolled_back"
    assert ended["standing"]["challenger"]["last_error"] == "a tree fell over"
    assert until(lambda: ask(operator)["experiment"] is None, 5)
    assert ask(operator)["model_id"] == CONTROL
    with served.client("admin") as admin:
        assert "experiment.rolled_back" in admin.get("/audit").text
    kinds = [entry.kind for entry in served.house.store.read("events", limit=100_000)]
    assert kinds.count("experiments") >= 2
