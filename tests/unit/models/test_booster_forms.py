"""XGBoost's binary form is read by us first: the honest ones whole, others refused before XGBoost sees them."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost

from services.models import ubjson
from services.models.booster_form import check_xgboost
from tests.unit.models.honest_models import honest

BOOSTERS = ("xgboost", "xgboost-dart", "xgboost-forest", "xgboost-linear-price", "xgboost-gamma-price")


def form_of(kind: str) -> bytes:
    """What a pickle of the kind's booster holds."""
    return bytes(honest(kind).estimator.get_booster().__getstate__()["handle"])


@pytest.mark.parametrize("kind", BOOSTERS)
def test_an_honest_form_is_read_whole(kind: str) -> None:
    data = form_of(kind)
    check_xgboost(data)
    model = ubjson.read(data)["Model"]
    assert model["version"] == [int(part) for part in xgboost.__version__.split(".")]
    assert model["learner"]["learner_model_param"]["num_feature"] == "4"


def changed(name: str, value: int, place: int = 0) -> bytes:
    """One 32-bit number of the first tree's array `name` set to `value`."""
    data = form_of("xgboost")
    marker = name.encode() + b"[$l#L"
    start = data.index(marker) + len(marker) + 8 + 4 * place
    return data[:start] + struct.pack(">i", value) + data[start + 4 :]


LIES: dict[str, Callable[[], bytes]] = {
    "child-outside": lambda: changed("left_children", 1_000_000),
    "child-below": lambda: changed("right_children", -7),
    "endless": lambda: changed("left_children", 0),
    "feature-outside": lambda: changed("split_indices", 4_000),
    "parent-outside": lambda: changed("parents", 1_000_000, 1),
    "another-parent": lambda: changed("parents", 3, 1),
    "root-with-a-parent": lambda: changed("parents", 1),
    "more-nodes": lambda: form_of("xgboost").replace(
        b"num_nodesSL\0\0\0\0\0\0\0\x017", b"num_nodesSL\0\0\0\0\0\0\0\x019"
    ),
    "more-trees": lambda: form_of("xgboost").replace(
        b"num_treesSL\0\0\0\0\0\0\0\x014", b"num_treesSL\0\0\0\0\0\0\0\x019"
    ),
    "cut-off": lambda: form_of("xgboost")[:-40],
    "more-bytes": lambda: form_of("xgboost") + b"}",
    "other-booster": lambda: form_of("xgboost").replace(b"gbtree", b"gbtroo"),
    "another-form": lambda: b"CONFIG-offset:" + bytes(40),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_form_that_lies_is_refused(lie: str) -> None:
    data = LIES[lie]()
    assert data != form_of("xgboost")
    with pytest.raises(ValueError):
        check_xgboost(data)


@pytest.mark.parametrize("case", range(40))
def test_any_bytes_are_read_or_refused(case: int) -> None:
    data, random = bytearray(form_of("xgboost")), np.random.default_rng(case)
    for place in random.integers(0, len(data), 1 + case % 5):
        data[place] = random.integers(0, 256)
    try:
        check_xgboost(data)
    except ValueError:
        return
    assert isinstance(ubjson.read(data), dict)


@pytest.mark.parametrize(
    "data",
    [b"", b"[$", b"[" * 100, b"{", b"S\x00", b"SL" + b"\xff" * 8, b"[#L" + b"\x7f" * 8, b"[$d#L" + b"\x7f" * 8, b"?"],
)
def test_ubjson_that_is_none_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        ubjson.read(data)
