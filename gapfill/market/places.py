"""The EC2 actions about places and machines: regions, zones, instance types and where they are offered."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from gapfill.market.catalogue import InstanceKind
from gapfill.market.source import MarketSource
from gapfill.market.wire import AwsError, Call, items, tags

_T = TypeVar("_T")
_PAGE = 100
_OFFERINGS_PAGE = 1000


def _passes(filters: Mapping[str, tuple[str, ...]], facts: Mapping[str, str]) -> bool:
    for name, patterns in filters.items():
        if name not in facts:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(fnmatchcase(facts[name], pattern) for pattern in patterns):
            return False
    return True


def describe_regions(source: MarketSource, call: Call) -> str:
    """Every region that this market has."""
    named = set(call.several("RegionName"))
    if missing := named - set(source.regions()):
        raise AwsError("InvalidParameterValue", f"Invalid region names: [{', '.join(sorted(missing))}]")
    facts = [
        {"region-name": name, "endpoint": f"ec2.{name}.amazonaws.com", "opt-in-status": "opt-in-not-required"}
        for name in source.regions()
        if not named or name in named
    ]
    filters = call.filters()
    return items(
        "regionInfo",
        (
            tags(regionName=one["region-name"], regionEndpoint=one["endpoint"], optInStatus=one["opt-in-status"])
            for one in facts
            if _passes(filters, one)
        ),
    )


def describe_zones(source: MarketSource, call: Call) -> str:
    """The zones of the called region."""
    names, ids, filters = set(call.several("ZoneName")), set(call.several("ZoneId")), call.filters()
    zones = source.zones(call.region)
    if missing := (names - set(zones)) | (ids - set(zones.values())):
        raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{', '.join(sorted(missing))}]")
    facts = [
        {"zone-name": name, "zone-id": zone_id, "region-name": call.region, "state": "available"}
        | {"zone-type": "availability-zone", "opt-in-status": "opt-in-not-required"}
        for name, zone_id in zones.items()
        if (not names or name in names) and (not ids or zone_id in ids)
    ]
    return items(
        "availabilityZoneInfo",
        (
            tags(
                zoneName=one["zone-name"],
                zoneId=one["zone-id"],
                zoneState=one["state"],
                regionName=call.region,
                groupName=f"{call.region}-zg-1",
                networkBorderGroup=call.region,
                optInStatus=one["opt-in-status"],
                zoneType=one["zone-type"],
            )
            for one in facts
            if _passes(filters, one)
        ),
    )


def describe_types(source: MarketSource, call: Call) -> str:
    """What the region's instance types are made of, in pages."""
    kinds = source.kinds(call.region)
    named = call.several("InstanceType")
    if missing := sorted(set(named) - set(kinds)):
        raise AwsError(
            "InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(missing)}]"
        )
    filters = call.filters()
    found = [kind for name, kind in kinds.items() if (not named or name in named) and _passes(filters, _facts(kind))]
    return _paged(call, found, "instanceTypeSet", _type_xml, _PAGE)


def describe_offerings(source: MarketSource, call: Call) -> str:
    """Which types are offered where, in pages; `LocationType` is region (the default) or either form of a zone."""
    kind_of_place = call.get("LocationType") or "region"
    zones = source.zones(call.region)
    names: dict[str, Callable[[str], str]] = {
        "region": lambda _: call.region,
        "availability-zone": lambda zone: zone,
        "availability-zone-id": lambda zone: zones[zone],
    }
    if kind_of_place not in names:
        raise AwsError("InvalidParameterValue", f"The value '{kind_of_place}' for LocationType is invalid.")
    place_of = names[kind_of_place]
    filters = call.filters()
    found = [
        (kind, place)
        for kind, place in sorted({(kind, place_of(zone)) for zone, kind in source.offered(call.region)})
        if _passes(filters, {"instance-type": kind, "location": place})
    ]

    def write(pair: tuple[str, str]) -> str:
        return tags(instanceType=pair[0], locationType=kind_of_place, location=pair[1])

    return _paged(call, found, "instanceTypeOfferingSet", write, _OFFERINGS_PAGE)


def _paged(call: Call, found: Sequence[_T], name: str, write: Callable[[_T], str], most: int) -> str:
    token = call.get("NextToken") or "0"
    if not token.isdigit():
        raise AwsError("InvalidNextToken", f"The token '{token[:40]}' is invalid")
    at, size = int(token), call.limit(most)
    following = str(at + size) if at + size < len(found) else ""
    return items(name, map(write, found[at : at + size])) + tags(nextToken=following)


def _facts(kind: InstanceKind) -> dict[str, str]:
    return {
        "instance-type": kind.name,
        "current-generation": str(kind.current_generation).lower(),
        "processor-info.supported-architecture": kind.architecture,
        "vcpu-info.default-vcpus": str(kind.vcpu),
        "memory-info.size-in-mib": str(kind.memory_mib),
        "bare-metal": str(kind.size == "metal").lower(),
        "supported-usage-class": "spot",
    }


def _type_xml(kind: InstanceKind) -> str:
    metal = kind.size == "metal"
    return (
        tags(instanceType=kind.name, currentGeneration=kind.current_generation, bareMetal=metal)
        + items("supportedUsageClasses", ("on-demand", "spot"))
        + ("" if metal else tags(hypervisor="nitro"))
        + f"<processorInfo>{items('supportedArchitectures', (kind.architecture,))}</processorInfo>"
        + f"<vCpuInfo>{tags(defaultVCpus=kind.vcpu)}</vCpuInfo>"
        + f"<memoryInfo>{tags(sizeInMiB=kind.memory_mib)}</memoryInfo>"
        + _gpu_xml(kind)
    )


def _gpu_xml(kind: InstanceKind) -> str:
    if not kind.gpus:
        return ""
    device = tags(name=kind.gpu_model, manufacturer="NVIDIA", count=kind.gpus)
    memory = f"<memoryInfo>{tags(sizeInMiB=kind.gpu_memory_mib)}</memoryInfo>"
    total = tags(totalGpuMemoryInMiB=kind.gpus * kind.gpu_memory_mib)
    return f"<gpuInfo>{items('gpus', (device + memory,))}{total}</gpuInfo>"
