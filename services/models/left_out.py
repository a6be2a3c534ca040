"""What honest authors send and this server does not let in on purpose: why, and what to send instead.

The reasons are those of docs/decisions/0101; a test holds that page and this table together.
"""

SEARCH = (
    "keeps its search, scorers and splits, which are functions",
    "Upload its `best_estimator_`.",
)
SCORER = (
    "keeps the scorer that tuned it, which is a function",
    "Wrap its `estimator_` in a FixedThresholdClassifier, or upload that alone.",
)
LAMBDA = (
    "is code of the author's own",
    "Replace it by NumPy's log1p, expm1, sqrt, log or exp, or do that step before the features.",
)
PARTIAL = (
    "is a function with arguments bound to it (histogram boosting over categories keeps one)",
    "Give the function itself, without arguments, and histogram boosting numbers instead of categories.",
)
RANKER = ("ranks, and neither gives a probability nor a price", "Upload a classifier or a regressor.")
OUTLIERS = ("finds outliers, and neither gives a probability nor a price", "Upload a classifier or a regressor.")
CHAIN = ("gives several outputs", "Upload one model for each output.")
TORCH = ("belongs to a library that this server does not run", "Export the model to ONNX and upload that.")
CATEGORIES = ("is a table or a column of pandas", "Give the estimator NumPy arrays of numbers to keep.")

LEFT_OUT: dict[str, tuple[str, str]] = {
    "sklearn.model_selection._search.GridSearchCV": SEARCH,
    "sklearn.model_selection._search.RandomizedSearchCV": SEARCH,
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV": SEARCH,
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV": SEARCH,
    "sklearn.model_selection._classification_threshold.TunedThresholdClassifierCV": SCORER,
    "sklearn.multioutput.MultiOutputClassifier": CHAIN,
    "sklearn.multioutput.MultiOutputRegressor": CHAIN,
    "sklearn.multioutput.ClassifierChain": CHAIN,
    "sklearn.multioutput.RegressorChain": CHAIN,
    "sklearn.ensemble._iforest.IsolationForest": OUTLIERS,
    "sklearn.svm._classes.OneClassSVM": OUTLIERS,
    "sklearn.neighbors._lof.LocalOutlierFactor": OUTLIERS,
    "sklearn.covariance._elliptic_envelope.EllipticEnvelope": OUTLIERS,
    "xgboost.sklearn.XGBRanker": RANKER,
    "lightgbm.sklearn.LGBMRanker": RANKER,
    "functools.partial": PARTIAL,
    "pandas.core.frame.DataFrame": CATEGORIES,
    "pandas.core.series.Series": CATEGORIES,
}

OTHER_LIBRARIES = dict.fromkeys(
    ("torch", "keras", "tensorflow", "catboost", "jax", "flax", "pytorch_lightning", "skorch"), TORCH
)
AUTHORS_OWN = ("__main__", "cloudpickle", "dill", "types", "builtins.lambda")


def reason(named: str) -> tuple[str, str] | None:
    """(why, what to do) for a "module.name" that is left out on purpose."""
    package = named.partition(".")[0]
    if named.startswith(AUTHORS_OWN):
        return LAMBDA
    return LEFT_OUT.get(named) or OTHER_LIBRARIES.get(package)
