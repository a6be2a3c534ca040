"""Which pools a question is about: by region, instance type, product, or by their ids."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from gapfill.pools import LINUX


@dataclass(frozen=True, slots=True)
class Scope:
    """Pools that match every part that is not empty; an empty scope means all pools."""

    regions: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    pool_ids: tuple[str, ...] = ()

    @classmethod
    def of_pools(cls, pool_ids: Iterable[str]) -> "Scope":
        """Just these pools."""
        return cls(pool_ids=tuple(pool_ids))

    def predicate(self) -> pl.Expr:
        """The scope as a filter over a table with the columns of `with_places`."""
        wanted = pl.lit(True)
        for column, names in (
            ("region", self.regions),
            ("instance_type", self.instance_types),
            ("product", self.products),
            ("pool_id", self.pool_ids),
        ):
            if names:
                one = pl.col(column) == names[0] if len(names) == 1 else pl.col(column).is_in(list(names))
                wanted = wanted & one
        return wanted


# The columns that `with_places` adds.
PLACES = pl.Schema({"region": pl.String(), "instance_type": pl.String(), "product": pl.String()})

LINUX_ONLY: tuple[str, ...] = (LINUX,)


def with_places(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `region`, `instance_type` and `product` taken from its `pool_id`."""
    parts = pl.col("pool_id").str.splitn("/", 4).struct
    return frame.with_columns(
        parts.field("field_0").alias("region"),
        parts.field("field_2").alias("instance_type"),
        parts.field("field_3").alias("product"),
    )
