"""Which pools the live loop follows: the configured ones, and those that a fill has asked for."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from gapfill.pools import LINUX
from services.settings import Settings
from services.store.protocol import Store

KIND = "tracked"


@dataclass(frozen=True, slots=True)
class RegionScope:
    """Every pool of (types x products) in a region."""

    region: str
    instance_types: tuple[str, ...]
    products: tuple[str, ...]


class Tracked:
    """The selection, kept in the store so that it survives restarts."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def add(self, regions: Iterable[str], instance_types: Iterable[str], products: Iterable[str]) -> None:
        """Follow these pools too, from the next tick on."""
        value = {
            "regions": sorted(regions),
            "instance_types": sorted(instance_types),
            "products": sorted(products),
        }
        key = hashlib.sha256(repr(sorted(value.items())).encode()).hexdigest()[:16]
        if self._store.get(KIND, key) is None:
            self._store.put(KIND, key, value)

    def scopes(self) -> list[RegionScope]:
        """What to follow, per region."""
        defaults = {
            "regions": list(self._settings.gap_filler_regions),
            "instance_types": list(self._settings.gap_filler_instance_types),
            "products": [LINUX],
        }
        merged: dict[str, tuple[set[str], set[str]]] = {}
        for selection in (defaults, *(document.value for document in self._store.find(KIND))):
            for region in selection["regions"]:
                types, products = merged.setdefault(region, (set(), set()))
                types.update(selection["instance_types"])
                products.update(selection["products"])
        return [
            RegionScope(region, tuple(sorted(types)), tuple(sorted(products)))
            for region, (types, products) in sorted(merged.items())
        ]
