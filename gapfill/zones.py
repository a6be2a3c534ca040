"""AWS's naming rules for regions, zones and zone ids, as functions: no table, so new regions need no release."""

import re

_PARTITIONS = {"us-gov": "usg", "us": "us", "eu": "eu", "ap": "ap", "ca": "ca", "sa": "sa", "me": "me", "af": "af"}
_PARTITIONS |= {"il": "il", "mx": "mx", "cn": "cn"}
_AREAS = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c"}
_AREAS |= {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
_REGION = re.compile(r"(us-gov|[a-z]{2})-([a-z]+)-(\d)")
_ZONE_ID = re.compile(r"(usg|us|eu|ap|ca|sa|me|af|il|mx|cn)(ne|nw|se|sw|n|s|e|w|c)(\d)-az(\d)")


def region_of_zone(zone: str) -> str:
    """The region of a zone name or a zone id (`us-east-1a`, `use1-az1`); raises ValueError for anything else."""
    if found := _ZONE_ID.fullmatch(zone):
        partition = next(name for name, code in _PARTITIONS.items() if code == found[1])
        area = next(name for name, code in _AREAS.items() if code == found[2])
        return f"{partition}-{area}-{found[3]}"
    if (found := _REGION.match(zone)) and len(zone) > found.end():
        return found[0]
    raise ValueError(f"not an availability zone: {zone!r}")


def is_zone_id(zone: str) -> bool:
    """Whether `zone` is an id (`use1-az1`), which every account shares, and not a name, which differs per account."""
    return _ZONE_ID.fullmatch(zone) is not None


def zone_id(region: str, number: int) -> str:
    """The id of a region's zone `number` (from 1): `use1-az1`; raises ValueError when `region` is not one."""
    found = _REGION.fullmatch(region)
    if found is None or found[1] not in _PARTITIONS or found[2] not in _AREAS:
        raise ValueError(f"not a region: {region!r}")
    return f"{_PARTITIONS[found[1]]}{_AREAS[found[2]]}{found[3]}-az{number}"


def usual_zone_id(zone_name: str) -> str:
    """The id that an account without shuffled zones gives to a zone name (a is az1); "" for a local zone."""
    region = region_of_zone(zone_name)
    letter = zone_name[len(region) :]
    return zone_id(region, ord(letter) - ord("a") + 1) if len(letter) == 1 else ""


def usual_zone_name(id_of_zone: str) -> str:
    """The inverse of `usual_zone_id`; raises ValueError when it is not a zone id."""
    if not is_zone_id(id_of_zone):
        raise ValueError(f"not a zone id: {id_of_zone!r}")
    return f"{region_of_zone(id_of_zone)}{chr(ord('a') + int(id_of_zone[-1]) - 1)}"
