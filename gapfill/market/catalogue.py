"""What the simulated market sells: regions, zones, instance types and their on-demand prices, laid out by rule.

Names and shapes are AWS's; prices are us-east-1 list prices of the `large` size, scaled by size and region.
"""

from dataclasses import dataclass
from functools import cache

from gapfill.market.hashing import key_of
from gapfill.pools import PRODUCTS
from gapfill.zones import zone_id

# Region → (number of zones, price level against us-east-1, the name that Pricing calls "location").
REGIONS: dict[str, tuple[int, float, str]] = {
    "af-south-1": (3, 1.26, "Africa (Cape Town)"),
    "ap-east-1": (3, 1.33, "Asia Pacific (Hong Kong)"),
    "ap-northeast-1": (3, 1.29, "Asia Pacific (Tokyo)"),
    "ap-northeast-2": (4, 1.23, "Asia Pacific (Seoul)"),
    "ap-northeast-3": (3, 1.29, "Asia Pacific (Osaka)"),
    "ap-south-1": (3, 1.05, "Asia Pacific (Mumbai)"),
    "ap-south-2": (3, 1.05, "Asia Pacific (Hyderabad)"),
    "ap-southeast-1": (3, 1.25, "Asia Pacific (Singapore)"),
    "ap-southeast-2": (3, 1.25, "Asia Pacific (Sydney)"),
    "ap-southeast-3": (3, 1.25, "Asia Pacific (Jakarta)"),
    "ap-southeast-4": (3, 1.25, "Asia Pacific (Melbourne)"),
    "ca-central-1": (3, 1.11, "Canada (Central)"),
    "ca-west-1": (3, 1.11, "Canada West (Calgary)"),
    "eu-central-1": (3, 1.20, "EU (Frankfurt)"),
    "eu-central-2": (3, 1.32, "Europe (Zurich)"),
    "eu-north-1": (3, 1.06, "EU (Stockholm)"),
    "eu-south-1": (3, 1.17, "EU (Milan)"),
    "eu-south-2": (3, 1.11, "Europe (Spain)"),
    "eu-west-1": (3, 1.11, "EU (Ireland)"),
    "eu-west-2": (3, 1.16, "EU (London)"),
    "eu-west-3": (3, 1.17, "EU (Paris)"),
    "il-central-1": (3, 1.17, "Israel (Tel Aviv)"),
    "me-central-1": (3, 1.22, "Middle East (UAE)"),
    "me-south-1": (3, 1.22, "Middle East (Bahrain)"),
    "mx-central-1": (3, 1.05, "Mexico (Central)"),
    "sa-east-1": (3, 1.59, "South America (Sao Paulo)"),
    "us-east-1": (6, 1.00, "US East (N. Virginia)"),
    "us-east-2": (3, 1.00, "US East (Ohio)"),
    "us-west-1": (2, 1.17, "US West (N. California)"),
    "us-west-2": (4, 1.00, "US West (Oregon)"),
}

# Units of one size: a `large` is 1 and has 2 vCPU.
_UNITS = {"nano": 0.0625, "micro": 0.125, "small": 0.25, "medium": 0.5, "large": 1.0, "xlarge": 2.0}
_USUAL = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"
_GRAVITON = "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge metal"
_BURST = "nano micro small medium large xlarge 2xlarge"
_WIDE = f"{_USUAL} 32xlarge"
_C5 = "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge metal"
_OLD = "large xlarge 2xlarge 4xlarge 8xlarge"

# Family → (USD an hour of its `large`, GiB of memory of its `large`, sizes).
_FAMILIES: dict[str, tuple[float, float, str]] = {
    "m5": (0.096, 8, f"{_USUAL} metal"),
    "m5a": (0.086, 8, _USUAL),
    "m5ad": (0.103, 8, _USUAL),
    "m5d": (0.113, 8, f"{_USUAL} metal"),
    "m5n": (0.119, 8, f"{_USUAL} metal"),
    "m5zn": (0.1652, 8, "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge metal"),
    "m6a": (0.0864, 8, f"{_WIDE} 48xlarge metal"),
    "m6g": (0.077, 8, _GRAVITON),
    "m6gd": (0.0904, 8, _GRAVITON),
    "m6i": (0.096, 8, f"{_WIDE} metal"),
    "m6id": (0.1187, 8, f"{_WIDE} metal"),
    "m6in": (0.1392, 8, f"{_WIDE} metal"),
    "m7a": (0.1159, 8, f"medium {_WIDE} 48xlarge"),
    "m7g": (0.0816, 8, _GRAVITON),
    "m7gd": (0.1068, 8, _GRAVITON),
    "m7i": (0.1008, 8, f"{_USUAL} 48xlarge"),
    "m8g": (0.0898, 8, f"24xlarge 48xlarge {_GRAVITON}"),
    "c5": (0.085, 4, _C5),
    "c5a": (0.077, 4, _USUAL),
    "c5ad": (0.086, 4, _USUAL),
    "c5d": (0.096, 4, _C5),
    "c5n": (0.108, 5.25, "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge metal"),
    "c6a": (0.0765, 4, f"{_WIDE} 48xlarge metal"),
    "c6g": (0.068, 4, _GRAVITON),
    "c6gd": (0.0768, 4, _GRAVITON),
    "c6gn": (0.0864, 4, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "c6i": (0.085, 4, f"{_WIDE} metal"),
    "c6id": (0.1008, 4, f"{_WIDE} metal"),
    "c6in": (0.1134, 4, f"{_WIDE} metal"),
    "c7a": (0.1026, 4, f"medium {_WIDE} 48xlarge"),
    "c7g": (0.0725, 4, _GRAVITON),
    "c7gd": (0.0907, 4, _GRAVITON),
    "c7i": (0.0893, 4, f"{_USUAL} 48xlarge"),
    "c8g": (0.0798, 4, f"24xlarge 48xlarge {_GRAVITON}"),
    "r5": (0.126, 16, f"{_USUAL} metal"),
    "r5a": (0.113, 16, _USUAL),
    "r5ad": (0.131, 16, _USUAL),
    "r5b": (0.149, 16, f"{_USUAL} metal"),
    "r5d": (0.144, 16, f"{_USUAL} metal"),
    "r5n": (0.149, 16, f"{_USUAL} metal"),
    "r6a": (0.1134, 16, f"{_WIDE} 48xlarge metal"),
    "r6g": (0.1008, 16, _GRAVITON),
    "r6gd": (0.1152, 16, _GRAVITON),
    "r6i": (0.126, 16, f"{_WIDE} metal"),
    "r6id": (0.1512, 16, f"{_WIDE} metal"),
    "r7a": (0.1521, 16, f"medium {_WIDE} 48xlarge"),
    "r7g": (0.1071, 16, _GRAVITON),
    "r7i": (0.1323, 16, f"{_USUAL} 48xlarge"),
    "r8g": (0.1178, 16, f"24xlarge 48xlarge {_GRAVITON}"),
    "t2": (0.0928, 8, _BURST),
    "t3": (0.0832, 8, _BURST),
    "t3a": (0.0752, 8, _BURST),
    "t4g": (0.0672, 8, _BURST),
    "i3": (0.156, 15.25, "large xlarge 2xlarge 4xlarge 8xlarge 16xlarge metal"),
    "i3en": (0.226, 16, "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge 24xlarge metal"),
    "i4g": (0.1544, 16, "large xlarge 2xlarge 4xlarge 8xlarge 16xlarge"),
    "i4i": (0.172, 16, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal"),
    "g4dn": (0.263, 8, "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge metal"),
    "g5": (0.503, 8, "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
    "g6": (0.4024, 8, "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
    "p3": (0.765, 15.25, "2xlarge 8xlarge 16xlarge"),
    "p4d": (0.6827, 24, "24xlarge"),
    "x1": (0.2084, 30.5, "16xlarge 32xlarge"),
    "x1e": (0.417, 61, "xlarge 2xlarge 4xlarge 8xlarge 16xlarge 32xlarge"),
    "z1d": (0.186, 16, "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge metal"),
    "m4": (0.1, 8, "large xlarge 2xlarge 4xlarge 10xlarge 16xlarge"),
    "c4": (0.1, 3.75, _OLD),
    "r4": (0.133, 15.25, f"{_OLD} 16xlarge"),
    # Sold in 2020 and in replayed files; a simulation leaves them out.
    "m1": (0.175, 7.5, "small medium large xlarge"),
    "m2": (0.1225, 8.55, "xlarge 2xlarge 4xlarge"),
    "m3": (0.133, 7.5, "medium large xlarge 2xlarge"),
    "c1": (0.26, 3.5, "medium xlarge"),
    "c3": (0.105, 3.75, _OLD),
    "r3": (0.166, 15.25, _OLD),
    "t1": (0.16, 4.9, "micro"),
    "a1": (0.051, 4, "medium large xlarge 2xlarge 4xlarge"),
    "d2": (0.345, 15.25, "xlarge 2xlarge 4xlarge 8xlarge"),
    "g3": (0.285, 15.25, "4xlarge 8xlarge 16xlarge"),
    "h1": (0.117, 8, "2xlarge 4xlarge 8xlarge 16xlarge"),
    "i2": (0.4265, 15.25, "xlarge 2xlarge 4xlarge 8xlarge"),
    "p2": (0.45, 30.5, "xlarge 8xlarge 16xlarge"),
    "p3dn": (0.6503, 16, "24xlarge"),
}
_RETIRED = frozenset({"m1", "m2", "m3", "c1", "c3", "r3", "t1", "a1", "d2", "g3", "h1", "i2", "p2", "p3dn"})
_PREVIOUS = _RETIRED | {"t2", "m4", "c4", "r4"}
_GPU_MODELS = {"g3": ("M60", 8), "g4dn": ("T4", 16), "g5": ("A10G", 24), "g6": ("L4", 24), "p2": ("K80", 12)}
_GPU_MODELS |= {"p3": ("V100", 16), "p3dn": ("V100", 32), "p4d": ("A100", 40)}
_GPU_COUNTS = {"p2.8xlarge": 8, "p2.16xlarge": 16, "p3.8xlarge": 4, "p3.16xlarge": 8, "p3dn.24xlarge": 8}
_GPU_COUNTS |= {"p4d.24xlarge": 8, "g3.8xlarge": 2, "g3.16xlarge": 4, "g4dn.metal": 8}
_GPUS_BY_SIZE = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}

# What a licence adds, USD per hour: (flat, per vCPU).
_LICENCES = {PRODUCTS[0]: (0.0, 0.0), PRODUCTS[1]: (0.06, 0.0), PRODUCTS[2]: (0.05, 0.0), PRODUCTS[3]: (0.0, 0.046)}


@dataclass(frozen=True, slots=True)
class InstanceKind:
    """What an instance type is made of; `base_micro_usd` is its Linux price per hour in us-east-1."""

    name: str
    family: str
    size: str
    size_rank: int
    vcpu: int
    memory_mib: int
    architecture: str
    current_generation: bool
    gpu_model: str
    gpus: int
    gpu_memory_mib: int
    base_micro_usd: int


def units_of(size: str) -> float:
    """How many `large` a size is worth (`4xlarge` is 8); raises ValueError for a word that says no size."""
    if size in _UNITS:
        return _UNITS[size]
    count = size.removesuffix("xlarge")
    if count == size or not count.isdigit():
        raise ValueError(f"not an instance size: {size!r}")
    return 2.0 * int(count)


def is_arm(family: str) -> bool:
    """Graviton families have a g after their generation number (`c6g`, `m7gd`), but GPU families do not count."""
    return family not in _GPU_MODELS and "g" in family[2:]


def _kind(family: str, size: str, units: float, rank: int, price: float, memory_gib: float) -> InstanceKind:
    name = f"{family}.{size}"
    model, gpu_gib = _GPU_MODELS.get(family, ("", 0))
    gpus = _GPU_COUNTS.get(name, _GPUS_BY_SIZE.get(size, 1)) if model else 0
    minimum = 2 if family.startswith("t") else 1
    return InstanceKind(
        name=name,
        family=family,
        size=size,
        size_rank=rank,
        vcpu=max(minimum, int(2 * units)),
        memory_mib=int(memory_gib * 1024 * units),
        architecture="arm64" if is_arm(family) else "x86_64",
        current_generation=family not in _PREVIOUS,
        gpu_model=model,
        gpus=gpus,
        gpu_memory_mib=gpu_gib * 1024,
        base_micro_usd=round(price * units * 10_000) * 100,
    )


@cache
def kinds() -> dict[str, InstanceKind]:
    """Every instance type of the catalogue, by name."""
    found: dict[str, InstanceKind] = {}
    for family, (price, memory, sizes) in _FAMILIES.items():
        units = sorted((units_of(size), size) for size in sizes.split() if size != "metal")
        if sizes.endswith("metal"):
            units.append((units[-1][0], "metal"))  # the whole machine, of which the largest size is all
        for rank, (worth, size) in enumerate(units):
            kind = _kind(family, size, worth, rank, price, memory)
            found[kind.name] = kind
    return found


def simulated_types() -> tuple[str, ...]:
    """The types that a simulation sells unless it is told otherwise, sorted."""
    return tuple(sorted(name for name, kind in kinds().items() if kind.family not in _RETIRED))


def zones_of(region: str) -> dict[str, str]:
    """Zone name → zone id of a catalogue region; raises KeyError for another."""
    count = REGIONS[region][0]
    return {f"{region}{chr(ord('a') + n)}": zone_id(region, n + 1) for n in range(count)}


def is_offered(zone: str, instance_type: str) -> bool:
    """Whether a simulated zone sells a type: about nine of ten do, and every zone the popular small ones."""
    kind = kinds()[instance_type]
    popular = kind.family in {"m5", "c5", "r5", "t3", "m6i", "c6g"} and kind.vcpu <= 16
    return popular or key_of(f"offer/{zone}/{instance_type}") % 100 < 91


def sells(kind: InstanceKind, product: str) -> bool:
    """Whether a product runs on a type (Windows does not run on arm64)."""
    return product in _LICENCES and not (product == PRODUCTS[3] and kind.architecture == "arm64")


def licence_micro(kind: InstanceKind, product: str) -> int:
    """What a product's licence adds to a type's price, micro-USD per hour."""
    flat, per_vcpu = _LICENCES[product]
    return round((flat + per_vcpu * kind.vcpu) * 1_000_000)


def on_demand_micro(region: str, instance_type: str, product: str) -> int | None:
    """The on-demand price, micro-USD per hour, whole 100s; None where it is not sold."""
    kind = kinds().get(instance_type)
    if kind is None or region not in REGIONS or not sells(kind, product):
        return None
    return round(kind.base_micro_usd * REGIONS[region][1] / 100) * 100 + licence_micro(kind, product)
