"""Many questions at once: each model scores one matrix, each question has its own answer or its own error."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gapfill.errors import GapFillError
from services.errors import RequestInvalid, ServerError
from services.live.board import FeatureBlock
from services.live.experiments.answering import Part, Rows, answer
from services.live.experiments.dividing import subset
from services.live.experiments.trial import Trial
from services.live.facts import Places
from services.live.inference import Inference
from services.live.predicted import Ask, by_one
from services.models.held import Lent
from services.models.predictor import predict

MOST_ROWS = 5000
MOST_MODELS = 8

Answer = dict[str, Any] | ServerError | GapFillError


@dataclass(frozen=True, slots=True)
class _Question:
    """A question whose pools were found; its rows are `start` to `end` of the model's matrix."""

    number: int
    ask: Ask
    block: FeatureBlock
    places: Places
    rows: Rows
    start: int
    end: int


def answer_many(inference: Inference, asks: Sequence[Ask], now: datetime | None = None) -> list[Answer]:
    """One answer or error for each, in order, as `Inference.answer` has them; off the event loop.

    At most `MOST_MODELS` versions may be named; a question that names one more is refused.
    """
    at = now or datetime.now(UTC)
    by_model: defaultdict[str | None, list[int]] = defaultdict(list)
    for number, ask in enumerate(asks):
        by_model[ask.model_id].append(number)
    answers: dict[int, Answer] = {}
    named = [model_id for model_id in by_model if model_id is not None]
    for model_id, numbers in by_model.items():
        if model_id in named[MOST_MODELS:]:
            detail = f"{model_id} is one more than the {MOST_MODELS} versions that one batch may name."
            refused = RequestInvalid("model_id", detail, "Send it in another batch.")
            answers.update(dict.fromkeys(numbers, refused))
            continue
        answers.update(_of_model(inference, model_id, {number: asks[number] for number in numbers}, at))
    return [answers[number] for number in range(len(asks))]


def _of_model(inference: Inference, model_id: str | None, asks: dict[int, Ask], at: datetime) -> dict[int, Answer]:
    try:
        with inference.lend(model_id) as lent:
            return _by(inference, lent, inference.trial(model_id, lent), asks, at)
    except (ServerError, GapFillError) as error:
        return dict.fromkeys(asks, error)


def _by(inference: Inference, lent: Lent, trial: Trial | None, asks: dict[int, Ask], at: datetime) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}
    questions: list[_Question] = []
    end = 0
    for number, ask in asks.items():
        try:
            block, places, rows = inference.rows(ask, lent, at)
        except (ServerError, GapFillError) as error:
            answers[number] = error
            continue
        questions.append(_Question(number, ask, block, places, rows, end, end + len(places)))
        end += len(places)
    if not questions:
        return answers
    parts = _scored(inference, lent, trial, questions)
    for question in questions:
        try:
            mine = _cut(parts, question.start, question.end)
            answers[question.number] = inference.told(
                question.ask, trial, question.block, question.places, question.rows, mine, at, alone=False
            )
        except ServerError as error:
            answers[question.number] = error
    return answers


def _scored(inference: Inference, lent: Lent, trial: Trial | None, questions: list[_Question]) -> list[Part]:
    names = questions[0].rows[0]
    matrix, imputed, silence = (np.concatenate([q.rows[i] for q in questions]) for i in (1, 2, 3))
    rows: Rows = (names, matrix, imputed, silence)
    if trial is None or inference.arms is None:
        return [by_one(lent, predict(lent.scorer, lent.version, *rows))]
    pool_ids = [q.block.pool_ids[place] for q in questions for place in q.places]
    return answer(trial, inference.arms.tally, lent, pool_ids, rows)


def _cut(parts: list[Part], start: int, end: int) -> list[Part]:
    """Of what was said of all rows, that of some; `places` count from `start`."""
    found = []
    for part in parts:
        low, high = np.searchsorted(part.places, [start, end])
        if low < high:
            scored = subset(part.scored, np.arange(low, high))
            places = part.places[low:high] - start
            found.append(Part(part.lent, scored, places, part.experiment_id, part.arm, part.fell_back))
    return found
