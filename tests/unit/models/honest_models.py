"""Honest models of every kind that is let in, fitted small and once, with the answers of their own libraries."""

from collections.abc import Callable
from functools import cache
from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import possible
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LassoCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    OrthogonalMatchingPursuit,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from services.models.version import Task
from tests.trained_models import FEATURES, Trained, table
from tests.unit.models.honest_data import ROWS, features, interrupted, matrix, price
from tests.unit.models.honest_steps import STEPS

Make = Callable[[], Any]

QUIET = {"verbose": -1, "n_jobs": 4, "min_child_samples": 5}


CLASSIFIERS: dict[str, Make] = {
    "logistic": LogisticRegression,
    "logistic-cv": lambda: LogisticRegressionCV(
        Cs=2, cv=2, l1_ratios=(0.0,), use_legacy_attributes=False, scoring="neg_log_loss"
    ),
    "sgd": lambda: SGDClassifier(loss="log_loss", random_state=1),
    "sgd-modified-huber": lambda: SGDClassifier(loss="modified_huber", random_state=1),
    "svm-calibrated": lambda: CalibratedClassifierCV(SVC(), cv=2),
    "svm-nu": lambda: CalibratedClassifierCV(NuSVC(nu=0.3), cv=2),
    "svm-linear": lambda: CalibratedClassifierCV(LinearSVC(), cv=2),
    "neighbours": KNeighborsClassifier,
    "neighbours-ball-tree": lambda: KNeighborsClassifier(algorithm="ball_tree", metric="manhattan", n_jobs=4),
    "neighbours-brute": lambda: KNeighborsClassifier(algorithm="brute", weights="distance"),
    "neighbours-in-a-radius": lambda: RadiusNeighborsClassifier(radius=200.0),
    "nearest-centroid": NearestCentroid,
    "bayes-gaussian": GaussianNB,
    "bayes-bernoulli": lambda: BernoulliNB(binarize=0.3),
    "bayes-multinomial": MultinomialNB,
    "bayes-complement": ComplementNB,
    "network": lambda: make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=300, tol=1e-2, random_state=1)),
    "discriminant-linear": LinearDiscriminantAnalysis,
    "discriminant-quadratic": lambda: QuadraticDiscriminantAnalysis(reg_param=0.1),
    "gaussian-process": lambda: GaussianProcessClassifier(1.0 * RBF(), optimizer=None),
    "forest-over-gaps": lambda: RandomForestClassifier(4, random_state=1),
    "extra-trees": lambda: ExtraTreesClassifier(4, n_jobs=4, random_state=1),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=4, random_state=1),
    "boosting-from-logistic": lambda: GradientBoostingClassifier(n_estimators=3, init=LogisticRegression()),
    "histogram-over-gaps": lambda: HistGradientBoostingClassifier(max_iter=4, random_state=1),
    "ada-boost": lambda: AdaBoostClassifier(n_estimators=3, random_state=1),
    "bagging": lambda: BaggingClassifier(n_estimators=3, random_state=1),
    "bagging-of-logistic": lambda: BaggingClassifier(LogisticRegression(), 3, max_features=0.5, random_state=1),
    "voting": lambda: VotingClassifier(
        [("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=2))], voting="soft"
    ),
    "stacking": lambda: StackingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], cv=2),
    "calibrated-isotonic": lambda: CalibratedClassifierCV(DecisionTreeClassifier(max_depth=3), method="isotonic", cv=2),
    "calibrated-temperature": lambda: CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2),
    "calibrated-xgboost": lambda: CalibratedClassifierCV(xgboost.XGBClassifier(n_estimators=2, n_jobs=4), cv=2),
    "one-against-the-rest": lambda: OneVsRestClassifier(LogisticRegression()),
    "fixed-threshold": lambda: FixedThresholdClassifier(LogisticRegression(), threshold=0.3),
    "frozen": lambda: FrozenEstimator(LogisticRegression().fit(features(), interrupted())),
    "dummy": lambda: DummyClassifier(strategy="prior"),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=4, max_depth=3, n_jobs=4),
    "xgboost-over-gaps": lambda: xgboost.XGBClassifier(n_estimators=4, max_depth=3),
    "xgboost-forest": lambda: xgboost.XGBRFClassifier(n_estimators=4, max_depth=3),
    "xgboost-dart": lambda: xgboost.XGBClassifier(n_estimators=4, booster="dart", rate_drop=0.5),
    "xgboost-scaled": lambda: make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=3, n_jobs=4)),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=4, **QUIET),
    "lightgbm-over-gaps": lambda: lightgbm.LGBMClassifier(n_estimators=4, **QUIET),
    "lightgbm-dart": lambda: lightgbm.LGBMClassifier(n_estimators=4, boosting_type="dart", **QUIET),
    "lightgbm-imputed": lambda: make_pipeline(SimpleImputer(), lightgbm.LGBMClassifier(n_estimators=3, **QUIET)),
}

REGRESSORS: dict[str, Make] = {
    "linear": LinearRegression,
    "ridge": Ridge,
    "ridge-cv": RidgeCV,
    "lasso-cv": lambda: LassoCV(cv=2, alphas=5),
    "elastic-net-cv": lambda: ElasticNetCV(cv=2, alphas=5),
    "lars": Lars,
    "lasso-lars-ic": LassoLarsIC,
    "matching-pursuit": OrthogonalMatchingPursuit,
    "bayesian-ridge": BayesianRidge,
    "ard": ARDRegression,
    "huber": lambda: make_pipeline(StandardScaler(), HuberRegressor()),
    "theil-sen": lambda: TheilSenRegressor(max_subpopulation=50, random_state=1),
    "ransac": lambda: RANSACRegressor(random_state=1),
    "sgd-price": lambda: make_pipeline(StandardScaler(), SGDRegressor(loss="epsilon_insensitive", random_state=1)),
    "poisson": PoissonRegressor,
    "gamma": GammaRegressor,
    "tweedie": lambda: TweedieRegressor(power=1.5, link="log"),
    "tweedie-identity": lambda: TweedieRegressor(power=0),
    "quantile": lambda: QuantileRegressor(alpha=0.1),
    "svm-price": SVR,
    "svm-nu-price": NuSVR,
    "svm-linear-price": lambda: make_pipeline(StandardScaler(), LinearSVR(C=0.1, tol=0.1, random_state=1)),
    "neighbours-price": KNeighborsRegressor,
    "radius-price": lambda: RadiusNeighborsRegressor(radius=200.0),
    "network-price": lambda: make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=500, tol=1e-2)
    ),
    "gaussian-process-price": lambda: GaussianProcessRegressor(
        ConstantKernel() * Matern() + WhiteKernel(), optimizer=None
    ),
    "kernel-ridge": lambda: KernelRidge(kernel="rbf"),
    "partial-least-squares": lambda: PLSRegression(2),
    "log-of-the-price": lambda: TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "scaled-price": lambda: TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    "dummy-price": DummyRegressor,
    "tree-price": lambda: DecisionTreeRegressor(max_depth=4),
    "forest-price": lambda: RandomForestRegressor(4, random_state=1),
    "ada-boost-price": lambda: AdaBoostRegressor(n_estimators=3, random_state=1),
    "bagging-price": lambda: BaggingRegressor(n_estimators=3, random_state=1),
    "voting-price": lambda: VotingRegressor([("a", LinearRegression()), ("b", Ridge())]),
    "stacking-price": lambda: StackingRegressor([("a", LinearRegression()), ("b", Ridge())], cv=2),
    "boosting-quantile-price": lambda: GradientBoostingRegressor(n_estimators=3, loss="quantile"),
    "histogram-poisson-price": lambda: HistGradientBoostingRegressor(max_iter=3, loss="poisson"),
    "histogram-quantile-price": lambda: HistGradientBoostingRegressor(max_iter=3, loss="quantile", quantile=0.5),
    "xgboost-price": lambda: xgboost.XGBRegressor(n_estimators=4, max_depth=3, n_jobs=4),
    "xgboost-gamma-price": lambda: xgboost.XGBRegressor(n_estimators=4, max_depth=3, objective="reg:gamma"),
    "xgboost-forest-price": lambda: xgboost.XGBRFRegressor(n_estimators=4, max_depth=3),
    "xgboost-linear-price": lambda: xgboost.XGBRegressor(n_estimators=4, booster="gblinear"),
    "lightgbm-price": lambda: lightgbm.LGBMRegressor(n_estimators=4, **QUIET),
    "lightgbm-tweedie-price": lambda: lightgbm.LGBMRegressor(n_estimators=4, objective="tweedie", **QUIET),
    "lightgbm-forest-price": lambda: lightgbm.LGBMRegressor(
        n_estimators=4, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **QUIET
    ),
}

BOOSTERS: dict[str, Make] = {
    "xgboost-booster": lambda: xgboost.train({"objective": "binary:logistic", "nthread": 2}, matrix(interrupted()), 4),
    "xgboost-booster-price": lambda: xgboost.train({"nthread": 2, "max_depth": 3}, matrix(price()), 4),
    "xgboost-linear-booster-price": lambda: xgboost.train({"booster": "gblinear", "nthread": 2}, matrix(price()), 4),
    "lightgbm-booster": lambda: lightgbm.train(
        {"objective": "binary", "num_threads": 2, "verbose": -1}, lightgbm.Dataset(features(), interrupted()), 4
    ),
    "lightgbm-booster-price": lambda: lightgbm.train(
        {"num_threads": 2, "verbose": -1}, lightgbm.Dataset(features(), price()), 4
    ),
}

KINDS = (*CLASSIFIERS, *(f"after-{step}" for step in STEPS), *REGRESSORS, *BOOSTERS)


class Booster(Trained):
    """A booster on its own, asked in its own way."""

    def reference(self, matrix: Any) -> Any:
        """float64[n] for float64[n, 4]."""
        if isinstance(self.estimator, lightgbm.Booster):
            return self.estimator.predict(matrix)
        return self.estimator.predict(xgboost.DMatrix(matrix, feature_names=list(FEATURES), nthread=1))


@cache
def honest(kind: str) -> Trained:
    """The fitted model of a kind."""
    rows = features()
    if kind in BOOSTERS:
        return Booster(kind, BOOSTERS[kind](), task_of(kind))
    if kind.endswith("over-gaps"):
        rows = rows.mask(np.random.default_rng(10).random(rows.shape) < 0.1)
    if kind in REGRESSORS:
        return Trained(kind, REGRESSORS[kind]().fit(rows, price()), "spot_price")
    if kind in CLASSIFIERS:
        return Trained(kind, CLASSIFIERS[kind]().fit(rows, interrupted()), "spot_interruption")
    step = STEPS[kind.removeprefix("after-")]()
    return Trained(
        kind, make_pipeline(step, LogisticRegression(solver="liblinear")).fit(rows, interrupted()), "spot_interruption"
    )


def asked(kind: str) -> Any:
    """float64[n, 4] of rows to ask, some of them unlike any that was seen; with gaps where the model takes them."""
    rows = table().iloc[ROWS : ROWS + 60].to_numpy(float, copy=True)
    rows[:5] *= 3.0
    if kind.endswith("over-gaps"):
        rows[::3, 1] = np.nan
    return rows


def task_of(kind: str) -> Task:
    """Which task it is for."""
    return "spot_price" if kind in REGRESSORS or kind.endswith("price") else "spot_interruption"


WIDTH = len(FEATURES)
