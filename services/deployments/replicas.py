"""The ingress replicas of a server on Ray, as a swap sees them: told all at once, each over the handle's broadcast."""

import asyncio
import time
from typing import Any

import structlog
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from services.deployments.answering import cause_of
from services.errors import Unavailable
from services.models.activation import Pointer

PREPARE_PATIENCE_S = 90.0
TELL_PATIENCE_S = 10.0
# A replica that was killed is in the broadcast until Serve notices: within a second or two.
REPLACED_WITHIN_S = 15.0
LOOK_AGAIN_S = 0.1
_log = structlog.get_logger(__name__)


class IngressReplicas:
    """A `Replicas` over the handle of the deployment that this process is a replica of. Used on the event loop."""

    def __init__(self, ingress: DeploymentHandle) -> None:
        self._ingress = ingress

    async def prepare(self, model_id: str, generation: int) -> None:
        """See `Replicas`; asked again while a replica is away, as one that was killed is replaced soon."""
        deadline = time.monotonic() + REPLACED_WITHIN_S
        while True:
            answers = await self._tell(PREPARE_PATIENCE_S, "prepare_model", model_id, generation)
            failed = [answer for answer in answers if isinstance(answer, Exception)]
            for error in failed:
                if (cause := cause_of(error)) is not None:
                    raise cause
            if not failed:
                return
            if time.monotonic() > deadline:
                raise Unavailable("ingress", f"a replica does not answer ({type(failed[0]).__name__})") from failed[0]
            _log.info("replica_away_while_preparing", model_id=model_id, error=type(failed[0]).__name__)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def discard(self, model_id: str) -> None:
        """See `Replicas`."""
        await self._tell(TELL_PATIENCE_S, "discard_model", model_id)

    async def activate(self, pointer: Pointer) -> None:
        """See `Replicas`."""
        answers = await self._tell(TELL_PATIENCE_S, "activate_model", pointer)
        failed = [answer for answer in answers if isinstance(answer, Exception)]
        if failed:
            raise Unavailable("ingress", f"{len(failed)} of {len(answers)} replicas: {failed[0]}"[:400])

    async def _tell(self, patience_s: float, method: str, *given: Any) -> list[Any]:
        """What each replica answered, or the error it met; one that holds for all is the answer of one."""
        told = self._ingress.broadcast(method, *given)
        try:
            answers: list[Any] = await told.results_async(timeout_s=patience_s, return_exceptions=True)
        except TimeoutError as error:
            raise Unavailable("ingress", f"not every replica answered within {patience_s:g} s") from error
        except (RayError, RayServeException, RuntimeError) as error:
            return [error]
        return answers
