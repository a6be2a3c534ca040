"""Keeps the two named actors alive and of this release; every ingress runs one, and they agree by the actors' names."""

import asyncio
from typing import Any

import ray
import structlog
from ray.exceptions import RayError

from services.deployments.actors import NAMESPACE, OPTIONS, REMOTE_CLASSES
from services.settings import Settings

LOOK_EVERY_S = 1.0
CHECK_PATIENCE_S = 60.0
STOP_PATIENCE_S = 25.0
_log = structlog.get_logger(__name__)


class Reconciler:
    """Creates what is missing, drains and replaces what is of another release, restarts what has failed."""

    def __init__(self, settings: Settings, release: str) -> None:
        self._settings = settings
        self._release = release
        self._states: dict[str, str] = dict.fromkeys(REMOTE_CLASSES, "not started yet")

    @property
    def states(self) -> dict[str, tuple[bool, str]]:
        """Name of each actor → (whether it works, what is known of it)."""
        return {name: (state == "working", state) for name, state in self._states.items()}

    async def run(self) -> None:
        """Look at both, side by side, every second, for ever."""
        await asyncio.gather(*(self._keep(name) for name in REMOTE_CLASSES))

    async def _keep(self, name: str) -> None:
        while True:
            try:
                await self._look(name)
                self._states[name] = "working"
            except Exception as error:  # noqa: BLE001 - the next second looks again
                self._states[name] = f"not answering: {type(error).__name__}"
                _log.warning("actor_not_answering", actor=name, error=type(error).__name__, detail=str(error)[-800:])
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, name: str) -> None:
        actor = await asyncio.to_thread(self._find_or_create, name)
        running = await asyncio.wait_for(actor.release.remote(), CHECK_PATIENCE_S)
        if running != self._release:
            _log.info("actor_replaced", actor=name, old=running, new=self._release)
            await end(actor)
            return
        try:
            await asyncio.wait_for(actor.check.remote(), CHECK_PATIENCE_S)
        except RayError:
            ray.kill(actor, no_restart=False)
            raise

    def _find_or_create(self, name: str) -> Any:
        try:
            return ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            _log.info("actor_created", actor=name, release=self._release)
            return REMOTE_CLASSES[name].options(name=name, **OPTIONS).remote(self._settings, self._release)


async def end(actor: Any) -> None:
    """Let an actor finish what it holds, then end it for good."""
    try:
        await asyncio.wait_for(actor.stop.remote(), STOP_PATIENCE_S)
    except (RayError, TimeoutError) as error:
        _log.warning("actor_not_drained", error=type(error).__name__)
    ray.kill(actor, no_restart=True)
