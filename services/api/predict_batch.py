"""Many predictions in one request: a row that cannot be answered has its problem, the others their answers."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from gapfill.errors import GapFillError
from services.api.answers import dumps
from services.api.asking import PREFIX, InHouse
from services.api.gate import needs
from services.api.house import House
from services.api.predict import PredictRequest, check_include
from services.api.problems import invalid, render
from services.errors import ServerError
from services.live.batch import MOST_ROWS, Answer, answer_many
from services.live.predicted import Ask

PATH = f"{PREFIX}/predict/batch"
router = APIRouter(prefix=PREFIX, tags=["predictions"])


class BatchRequest(BaseModel):
    """Questions as `predict/spot-interruption` takes them; each is checked by itself."""

    model_config = ConfigDict(extra="forbid")

    rows: Annotated[list[Any], Field(min_length=1, max_length=MOST_ROWS, description="Each as a single request's body")]


@router.post("/predict/batch")
@needs("invoker")
async def batch(house: InHouse, request: BatchRequest, include: str | None = None) -> Response:
    """Up to 5,000 questions at once: `results` in their order, each with an `answer` or a `problem`."""
    with_features = check_include(include)
    async with house.inference.batches:
        body, served = await run_in_threadpool(_answer, house, request.rows, with_features)
    for model_id, pools in served.items():
        house.metrics.predictions.labels(model_id=model_id, origin="served").inc(pools)
    return Response(body, media_type="application/json")


def _answer(house: House, rows: Sequence[Any], include_features: bool) -> tuple[bytes, dict[str, int]]:
    """The body of the answer, and how many pools each model answered for."""
    asked: dict[int, Ask] = {}
    results: list[dict[str, Any]] = [{"row": number} for number in range(len(rows))]
    for number, row in enumerate(rows):
        try:
            asked[number] = PredictRequest.model_validate(row).ask(include_features=include_features)
        except ValidationError as error:
            results[number]["problem"] = orjson.loads(bytes(invalid(list(error.errors()), PATH).body))
    served: dict[str, int] = {}
    unskilled: dict[str, ServerError | None] = {}
    for number, answer in zip(asked, answer_many(house.inference, list(asked.values())), strict=True):
        if isinstance(answer, dict) and asked[number].model_id is None:
            answer = _unskilled(house, answer["model_id"], unskilled) or answer
        results[number] |= _told(answer)
        if isinstance(answer, dict):
            served[answer["model_id"]] = served.get(answer["model_id"], 0) + len(answer["pools"])
    failed = sum("problem" in result for result in results)
    return dumps({"count": len(results), "failed": failed, "results": results}), served


def _unskilled(house: House, model_id: str, known: dict[str, ServerError | None]) -> ServerError | None:
    """What keeps a model's forecasts back where unskilled ones are refused; looked up once per batch."""
    if house.settings.refuse_unskilled and model_id not in known:
        known[model_id] = None
        try:
            house.skills.check(model_id)
        except ServerError as error:
            known[model_id] = error
    return known.get(model_id)


def _told(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, (ServerError, GapFillError)):
        return {"problem": orjson.loads(bytes(render(answer, PATH).body))}
    return {"answer": answer}
