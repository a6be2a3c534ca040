"""The Kubernetes manifests: they render, fit their schemas, and say what the project's other files say."""

import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from services.release import RELEASE
from services.settings import Settings
from tests.unit.manifests import ROOT, Object, env_file, one, pod_templates, render

IMAGE = f"cloudoptim-ml-server:{RELEASE}"
REAL_DATA = Path(os.environ.get("CLOUDOPTIM_REAL_DATA", ROOT.parent / "shared" / "data"))
# The image of a bento keeps its Python packages here (env/docker/Dockerfile of what `bentoml build` makes).
IMAGE_PACKAGES = "/app/.venv"
NOT_BUILT_IN = {"RayService"}

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


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return render(ROOT / "k8s")


@pytest.fixture(scope="module")
def ray_service(objects: list[Object]) -> Object:
    return one(objects, "RayService", "cloudoptim-ml-server")


def test_each_built_in_object_fits_kubernetes_own_schema(objects: list[Object]) -> None:
    version = kubernetes_validate.latest_version()
    built_in = [item for item in objects if item["kind"] not in NOT_BUILT_IN]
    assert {item["kind"] for item in built_in} >= {
        "Namespace", "ConfigMap", "Secret", "Service", "StatefulSet", "ServiceAccount",
        "PersistentVolumeClaim", "NetworkPolicy", "PodDisruptionBudget",
    }  # fmt: skip
    for item in built_in:
        kubernetes_validate.validate(item, version, strict=True)


def test_each_pod_template_fits_kubernetes_own_schema(objects: list[Object]) -> None:
    names = []
    for name, template in pod_templates(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template["metadata"]}}
        kubernetes_validate.validate(
            {**pod, "spec": template["spec"]}, kubernetes_validate.latest_version(), strict=True
        )
        names.append(name)
    assert sorted(names) == ["head", "redis", "serving"]


@pytest.mark.realdata
def test_the_ray_service_fits_kuberay_s_schema(ray_service: Object) -> None:
    path = REAL_DATA / "kuberay" / "rayservice_v1.schema.json"
    if not path.is_file():
        pytest.skip(f"no schema of RayService at {path}")
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ray_service)
    assert unknown_fields(ray_service["spec"], schema["properties"]["spec"], "spec") == []


def unknown_fields(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    """Fields that a schema does not name; the API server would drop them without a word."""
    if isinstance(value, list):
        items = schema.get("items", {})
        return [hit for n, item in enumerate(value) for hit in unknown_fields(item, items, f"{where}[{n}]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    strange = [f"{where}.{name}" for name in value if name not in known]
    return strange + [
        hit for name in value if name in known for hit in unknown_fields(value[name], known[name], f"{where}.{name}")
    ]


def test_unknown_fields_are_found() -> None:
    schema = {"properties": {"a": {"items": {"properties": {"b": {}}}}, "free": {"type": "object"}}}
    assert unknown_fields({"a": [{"b": 1}, {"c": 1}], "free": {"x": 1}, "d": 1}, schema, "s") == ["s.d", "s.a[1].c"]


def test_the_settings_are_the_mission_s_block(objects: list[Object]) -> None:
    assert one(objects, "ConfigMap", "ml-server-settings")["data"] == MISSION
    assert env_file(ROOT / ".env.example") == MISSION


def test_the_server_takes_the_settings_as_they_stand(objects: list[Object]) -> None:
    settings = Settings.load(one(objects, "ConfigMap", "ml-server-settings")["data"])
    assert (settings.host, settings.port, settings.workers, settings.store) == ("0.0.0.0", 8001, 4, "redis")
    assert settings.model_dir == Path("/app/models/uploaded")


def test_a_store_of_the_mission_s_name_is_there(objects: list[Object]) -> None:
    # A pod's search path ends in svc.<cluster's domain>, so <service>.<namespace> is a name that resolves.
    host, _, namespace = MISSION["REDIS_HOST"].partition(".")
    service = one(objects, "Service", host)
    assert service["metadata"]["namespace"] == namespace
    assert [port["port"] for port in service["spec"]["ports"]] == [int(MISSION["REDIS_PORT"])]
    redis = one(objects, "StatefulSet", "redis")
    assert redis["metadata"]["namespace"] == namespace
    assert service["spec"]["selector"].items() <= redis["spec"]["template"]["metadata"]["labels"].items()


def test_the_applications_are_those_of_serve_config(ray_service: Object) -> None:
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(ray_service["spec"]["serveConfigV2"]) == config
    assert config["http_options"] == {"host": MISSION["ML_SERVER_HOST"], "port": int(MISSION["ML_SERVER_PORT"])}


def test_the_versions_are_those_of_the_project(objects: list[Object], ray_service: Object) -> None:
    pinned = dict(
        line.split("==", 1)
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    assert ray_service["spec"]["rayClusterConfig"]["rayVersion"] == pinned["ray"]
    images = {
        container["image"]
        for name, template in pod_templates(objects)
        if name != "redis"
        for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"])
    }
    assert images == {IMAGE}


def test_what_pods_refer_to_is_there_by_the_name_it_was_given(objects: list[Object]) -> None:
    there = {(item["metadata"].get("namespace"), item["kind"], item["metadata"]["name"]) for item in objects}
    for name, template in pod_templates(objects):
        namespace = "internal" if name == "redis" else "cloudoptim"
        assert {(namespace, *reference) for reference in references(template["spec"])} <= there


def references(spec: Object) -> set[tuple[str, str]]:
    """(kind, name) of all that a pod needs beside itself."""
    found = {("ServiceAccount", spec["serviceAccountName"])} if "serviceAccountName" in spec else set()
    for container in spec["containers"]:
        for source in container.get("envFrom", ()):
            found |= {("ConfigMap", source["configMapRef"]["name"])} if "configMapRef" in source else set()
            found |= {("Secret", source["secretRef"]["name"])} if "secretRef" in source else set()
        for variable in container.get("env", ()):
            if key := variable.get("valueFrom", {}).get("secretKeyRef"):
                found.add(("Secret", key["name"]))
    for volume in spec["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            found.add(("PersistentVolumeClaim", claim["claimName"]))
        if config := volume.get("configMap"):
            found.add(("ConfigMap", config["name"]))
    return found


def test_no_secret_is_written_down(objects: list[Object]) -> None:
    secrets = [item for item in objects if item["kind"] == "Secret"]
    assert len(secrets) == 2
    assert [value for secret in secrets for value in secret["data"].values() if value] == []
    assert all(secret["metadata"]["name"].count("-") > 1 for secret in secrets), "a replaced secret must reach the pods"


def test_the_overlay_of_the_docs_sets_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"    # mine/server/kustomization.yaml\n((?:    .*\n)+)", page)
    overlay = yaml.safe_load(textwrap.dedent(block))
    (tmp_path / "secrets.env").write_text("ML_SERVER_ADMIN_TOKEN=t\nREDIS_PASSWORD=p\n")
    objects = rendered_overlay(tmp_path, {**overlay, "resources": ["k8s/server"]})
    assert one(objects, "Secret", "ml-server-secrets")["data"]["REDIS_PASSWORD"] == "cA=="
    assert one(objects, "ConfigMap", "ml-server-settings")["data"] == {**MISSION, "GAP_FILLER_REGIONS": "eu-west-1"}
    assert one(objects, "PersistentVolumeClaim", "ml-server-data")["spec"]["storageClassName"]
    assert one(objects, "ServiceAccount", "cloudoptim-ml-server")["metadata"]["annotations"]
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for _, template in pod_templates(objects):
        assert references(template["spec"]) <= there
        containers = (*template["spec"]["initContainers"], *template["spec"]["containers"])
        assert {container["image"].endswith(f">/{IMAGE}") for container in containers} == {True}


def test_a_password_that_an_overlay_sets_reaches_redis(tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text("REDIS_PASSWORD=p\n")
    secret = {"name": "redis-secrets", "behavior": "replace", "envs": ["own.env"]}
    overlay = {"namespace": "internal", "resources": ["k8s/redis"], "secretGenerator": [secret]}
    objects = rendered_overlay(tmp_path, overlay)
    assert one(objects, "Secret", "redis-secrets")["data"] == {"REDIS_PASSWORD": "cA=="}
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    ((_, template),) = pod_templates(objects)
    assert references(template["spec"]) <= there


def rendered_overlay(folder: Path, overlay: Object) -> list[Object]:
    """What an overlay in `folder` makes of parts of the base, whose places are given from the project's root."""
    places = [os.path.relpath(ROOT / place, folder) for place in overlay["resources"]]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({**overlay, "resources": places}))
    return render(folder)


def test_pods_are_confined(objects: list[Object]) -> None:
    for _, template in pod_templates(objects):
        spec = template["spec"]
        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"].keys() == {"requests", "limits"}


def test_each_container_is_probed_without_programs_that_the_image_lacks(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        (container,) = template["spec"]["containers"]
        probes = [container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
        if name != "redis":
            assert all("httpGet" in probe for probe in probes)
    workers = dict(pod_templates(objects))["serving"]["spec"]["containers"][0]
    assert workers["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": "serve"}


def test_no_volume_covers_the_image_s_own_folders(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        paths = [Path(mount["mountPath"]) for mount in template["spec"]["containers"][0]["volumeMounts"]]
        assert not any(Path(IMAGE_PACKAGES).is_relative_to(path) for path in paths), name


def test_what_the_server_writes_lies_on_the_shared_volume(objects: list[Object], ray_service: Object) -> None:
    claim = one(objects, "PersistentVolumeClaim", "ml-server-data")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for name, template in pod_templates(objects):
        if name == "redis":
            continue
        (container,) = template["spec"]["containers"]
        own = {variable["name"]: variable.get("value") for variable in container["env"]}
        written = [MISSION["MODEL_UPLOAD_DIR"], MISSION["DECISION_ENGINE_DIR"], own["ML_SERVER_DATA_DIR"]]
        shared = [Path(mount["mountPath"]) for mount in container["volumeMounts"] if mount["name"] == "data"]
        assert all(any(Path(path).is_relative_to(at) for at in shared) for path in written), name
        assert own["RAY_SERVE_ENABLE_HA_PROXY"] == own["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert ray_service["spec"]["rayClusterConfig"]["authOptions"] == {"mode": "token"}


def test_from_outside_only_the_api_is_reached(objects: list[Object]) -> None:
    policy = one(objects, "NetworkPolicy", "cloudoptim-ml-server")["spec"]
    anybody = [rule for rule in policy["ingress"] if "from" not in rule]
    assert [rule["ports"] for rule in anybody] == [[{"protocol": "TCP", "port": 8001}]]
    for name, template in pod_templates(objects):
        if name != "redis":
            assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_redis_is_reached_by_the_server_alone(objects: list[Object]) -> None:
    policy = one(objects, "NetworkPolicy", "redis")["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "cloudoptim"}
    head = dict(pod_templates(objects))["head"]
    assert peer["podSelector"]["matchLabels"].items() <= head["metadata"]["labels"].items()
    assert rule["ports"] == [{"protocol": "TCP", "port": 6379}]


def test_a_drain_takes_one_serving_pod_at_a_time(objects: list[Object], ray_service: Object) -> None:
    budget = one(objects, "PodDisruptionBudget", "cloudoptim-ml-server")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"] == {"app": "cloudoptim-ml-server", "ray.io/node-type": "worker"}
    (group,) = ray_service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["minReplicas"] >= 2
