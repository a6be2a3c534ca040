"""One spot capacity pool and the names by which the market and our tables know it."""

from dataclasses import dataclass

LINUX = "Linux/UNIX"
# The exact spellings of DescribeSpotPriceHistory's ProductDescription (classic and VPC prices are one today).
PRODUCTS: tuple[str, ...] = (LINUX, "Red Hat Enterprise Linux", "SUSE Linux", "Windows")


@dataclass(frozen=True, slots=True, order=True)
class Pool:
    """(region, availability zone, instance type, product description)."""

    region: str
    zone: str
    instance_type: str
    product: str = LINUX

    @property
    def pool_id(self) -> str:
        """`region/zone/type/product`, the form that every table and answer uses."""
        return f"{self.region}/{self.zone}/{self.instance_type}/{self.product}"

    @classmethod
    def parse(cls, pool_id: str) -> "Pool":
        """The pool of a `pool_id`; raises ValueError when it does not have four parts."""
        parts = pool_id.split("/", 3)
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"not a pool id: {pool_id!r}")
        return cls(*parts)
