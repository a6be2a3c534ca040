"""The Ray root: composes deployments; `serve_config.yaml` and `cloudoptim up` build the same two applications."""

import os
from typing import Any

from ray import serve
from ray.serve import Application

from services.deployments.decision_engine import DecisionEngine
from services.deployments.ingress import Ingress
from services.deployments.model_loader import ModelLoader
from services.settings import Settings
from ui.app import build_ui

# Each WebSocket holds one of an ingress replica's requests for as long as it is open.
SOCKETS_AND_REQUESTS = 5000
LOADING_AND_SCORING = 512
ACTOR = {"num_cpus": 0}
HEALTH: dict[str, Any] = {"health_check_period_s": 1, "health_check_timeout_s": 30, "graceful_shutdown_timeout_s": 5}


def build_api(args: dict[str, str]) -> Application:
    """The API at /; `args` are environment names and values that win over the environment."""
    settings = Settings.load({**os.environ, **args})
    loader = _deployed(ModelLoader, max_ongoing_requests=LOADING_AND_SCORING).bind(settings)
    engine = _deployed(DecisionEngine, max_ongoing_requests=64).bind(settings)
    ingress = _deployed(Ingress, max_ongoing_requests=SOCKETS_AND_REQUESTS, num_replicas=settings.workers)
    application: Application = ingress.bind(settings, loader, engine)
    return application


@serve.ingress(build_ui)
class Page:
    """The web page; its scripts speak to the API, it knows nothing itself."""


def build_ui_app(args: dict[str, str]) -> Application:
    """The page at /ui."""
    application: Application = _deployed(Page, max_ongoing_requests=500).bind()
    return application


def _deployed(shell: type, **options: Any) -> Any:
    return serve.deployment(shell).options(ray_actor_options=ACTOR, **HEALTH, **options)
