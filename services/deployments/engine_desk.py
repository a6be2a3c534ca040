"""The decision desk of a server on Ray: the `DecisionEngine` deployment behind its handle."""

import asyncio
import time
import zlib
from typing import Any

import orjson
import structlog
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from engines.canonical import canonical, compressed
from engines.catalogue import EngineEntry
from engines.contract import DecisionInput, DecisionOutput
from engines.intake import EngineOrder
from services.deployments.answering import answered, cause_of
from services.errors import Unavailable
from services.live.engine_swaps import EngineOrdered

PART = "DecisionEngine"
PREPARE_PATIENCE_S = 60.0
TELL_PATIENCE_S = 10.0
# A replica that was killed is in the broadcast until Serve notices: within a second or two.
REPLACED_WITHIN_S = 15.0
LOOK_AGAIN_S = 0.1
_log = structlog.get_logger(__name__)


class Decisions:
    """A `DecisionDesk`. Used on the event loop; questions and answers go compressed, as a message has 4 MiB at most."""

    def __init__(self, engine: DeploymentHandle) -> None:
        self._engine = engine

    async def decide(self, given: DecisionInput) -> DecisionOutput:
        """See `DecisionDesk`."""
        question = await asyncio.to_thread(lambda: compressed(canonical(given)))
        answer: bytes = await answered(PART, self._engine.decide.remote(question))
        return await asyncio.to_thread(lambda: DecisionOutput.model_validate_json(zlib.decompress(answer)))

    async def admit(self, text: bytes, order: EngineOrder) -> EngineEntry:
        """See `DecisionDesk`."""
        entry: EngineEntry = await answered(PART, self._engine.admit.remote(text, order))
        return entry

    async def test(self, engine_id: str, config: dict[str, Any], given: DecisionInput) -> dict[str, Any]:
        """See `DecisionDesk`."""
        question = await asyncio.to_thread(lambda: compressed(canonical(given)))
        answer: bytes = await answered(PART, self._engine.test.remote(engine_id, config, question))
        report: dict[str, Any] = await asyncio.to_thread(lambda: orjson.loads(zlib.decompress(answer)))
        return report

    async def prepare(self, ordered: EngineOrdered) -> dict[str, Any]:
        """See `EngineReplicas`; asked again while a replica is away, as one that was killed is replaced soon."""
        deadline = time.monotonic() + REPLACED_WITHIN_S
        while True:
            answers = await self._tell(PREPARE_PATIENCE_S, "prepare", ordered)
            failed = [answer for answer in answers if isinstance(answer, Exception)]
            for error in failed:
                if (cause := cause_of(error)) is not None:
                    raise cause
            if answers and not failed:
                config: dict[str, Any] = answers[0]
                return config
            if time.monotonic() > deadline:
                raise Unavailable(PART, "a replica does not answer") from (failed[0] if failed else None)
            _log.info("replica_away_while_preparing", engine_id=ordered.engine_id)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def abort(self, generation: int) -> None:
        """See `EngineReplicas`."""
        await self._tell(TELL_PATIENCE_S, "abort", generation)

    async def activate(self, generation: int) -> None:
        """See `EngineReplicas`."""
        answers = await self._tell(TELL_PATIENCE_S, "activate", generation)
        failed = [answer for answer in answers if isinstance(answer, Exception)]
        if failed:
            raise Unavailable(PART, f"{len(failed)} of {len(answers)} replicas: {failed[0]}"[:400])

    async def _tell(self, patience_s: float, method: str, *given: Any) -> list[Any]:
        """What each replica answered, or the error it met; one that holds for all is the answer of one."""
        told = self._engine.broadcast(method, *given)
        try:
            answers: list[Any] = await told.results_async(timeout_s=patience_s, return_exceptions=True)
        except TimeoutError as error:
            raise Unavailable(PART, f"not every replica answered within {patience_s:g} s") from error
        except (RayError, RayServeException, RuntimeError) as error:
            return [error]
        return answers
