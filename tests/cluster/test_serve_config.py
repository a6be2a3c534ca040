"""serve_config.yaml is what Serve takes it for, and names builders that are there."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

CONFIG = Path(__file__).parents[2] / "serve_config.yaml"


@pytest.fixture(scope="module")
def config() -> ServeDeploySchema:
    return ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.read_text(encoding="utf-8")))


def test_two_applications_share_the_server_s_port(config: ServeDeploySchema) -> None:
    assert [(app.name, app.route_prefix) for app in config.applications] == [("api", "/"), ("ui", "/ui")]
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 8001)
    assert config.proxy_location == "EveryNode"


def test_no_word_of_it_is_misspelt(config: ServeDeploySchema) -> None:
    # Serve ignores words that it does not know.
    written = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert written.keys() <= type(config).model_fields.keys()
    assert written["http_options"].keys() <= type(config.http_options).model_fields.keys()
    for application, known in zip(written["applications"], config.applications, strict=True):
        assert application.keys() <= type(known).model_fields.keys()


def test_streams_are_not_cut_off_by_a_request_timeout(config: ServeDeploySchema) -> None:
    assert config.http_options.request_timeout_s is None


def test_each_builder_takes_the_arguments_that_serve_hands_over(config: ServeDeploySchema) -> None:
    for application in config.applications:
        module, _, name = application.import_path.partition(":")
        builder = getattr(importlib.import_module(module), name)
        assert list(inspect.signature(builder).parameters) == ["args"]
