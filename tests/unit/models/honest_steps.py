"""What stands before an estimator in a pipeline: one of each kind that is let in."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import NMF, PCA, FactorAnalysis, FastICA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import possible
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, SelectPercentile, VarianceThreshold, f_classif
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

Make = Callable[[], Any]


def columns() -> Any:
    """Scaled numbers beside encoded hours, the rest passed through."""
    parts = [
        ("scaled", StandardScaler(), ["price_usd"]),
        ("hours", OneHotEncoder(handle_unknown="ignore"), ["hour_utc"]),
    ]
    return ColumnTransformer(parts, remainder="passthrough")


STEPS: dict[str, Make] = {
    "columns": columns,
    "columns-by-place": lambda: ColumnTransformer([("a", MinMaxScaler(), slice(0, 2)), ("b", "passthrough", [3])]),
    "columns-by-type": lambda: ColumnTransformer([("a", RobustScaler(), make_column_selector(".*"))]),
    "union": lambda: FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]),
    "as-pandas": lambda: StandardScaler().set_output(transform="pandas"),
    "max-abs": MaxAbsScaler,
    "normalizer": Normalizer,
    "binarizer": Binarizer,
    "bins": lambda: KBinsDiscretizer(3, strategy="uniform"),
    "splines": lambda: SplineTransformer(n_knots=3),
    "power": PowerTransformer,
    "quantiles": lambda: QuantileTransformer(n_quantiles=20),
    "ordinal": lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "target-encoder": lambda: TargetEncoder(cv=KFold(2)),
    "imputer-with-indicator": lambda: SimpleImputer(add_indicator=True),
    "imputer-of-neighbours": lambda: KNNImputer(),
    "imputer-in-turns": lambda: IterativeImputer(max_iter=1, random_state=1),
    "best-two": lambda: SelectKBest(f_classif, k=2),
    "best-half": lambda: SelectPercentile(percentile=50),
    "from-a-model": lambda: SelectFromModel(ExtraTreesClassifier(3, random_state=1)),
    "eliminated": lambda: RFE(LogisticRegression(), n_features_to_select=2),
    "variance": VarianceThreshold,
    "pca": lambda: PCA(2),
    "incremental-pca": lambda: IncrementalPCA(2),
    "kernel-pca": lambda: KernelPCA(2),
    "truncated-svd": lambda: TruncatedSVD(2),
    "ica": lambda: FastICA(2, random_state=1, tol=0.1),
    "factor-analysis": lambda: FactorAnalysis(2),
    "nmf": lambda: NMF(2, init="nndsvda", tol=1e-2, max_iter=500),
    "nystroem": lambda: Nystroem(n_components=5, random_state=1),
    "rbf-sampler": lambda: RBFSampler(n_components=5, random_state=1),
    "log1p": lambda: FunctionTransformer(np.log1p, inverse_func=np.expm1),
    "polynomial": lambda: PolynomialFeatures(2),
    "random-projection": lambda: GaussianRandomProjection(2, random_state=1),
    "sparse-random-projection": lambda: SparseRandomProjection(2, random_state=1),
}
