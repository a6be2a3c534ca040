"""Several questions to one model, put together into one call."""

import numpy as np

from services.models.scorer import Matrix, Scorer, Vector


def score_together(scorer: Scorer, asked: list[Matrix]) -> list[Vector | ValueError]:
    """Scores of each matrix; a value that the library refuses is the answer only of who sent it."""
    try:
        scores = scorer.score(np.concatenate(asked))
    except ValueError as error:
        return [error] if len(asked) == 1 else [one for matrix in asked for one in score_together(scorer, [matrix])]
    return list(np.split(scores, np.cumsum([len(matrix) for matrix in asked])[:-1]))
