"""What is replayed: a cluster that starts with nothing and asks for capacity over the whole window."""

from dataclasses import dataclass, field

from engines.contract import Constraints, Requirements


@dataclass(frozen=True, slots=True)
class Workload:
    """A cluster by what it asks for; `used` is the share of what its pods request that they really use (0..1)."""

    name: str
    requirements: Requirements
    constraints: Constraints = field(default_factory=Constraints)
    used: float = 0.7


GENERAL = Workload("general", Requirements(vcpu=64, memory_gib=256, min_nodes=6, min_node_vcpu=2))
COMPUTE = Workload("compute", Requirements(vcpu=96, memory_gib=192, min_nodes=6, min_node_vcpu=2))
MEMORY = Workload("memory", Requirements(vcpu=32, memory_gib=256, min_nodes=6, min_node_vcpu=2))
GPU = Workload("gpu", Requirements(gpus=8, min_nodes=8), Constraints(cross_region_allowed=True))

ON_PRICES = (GENERAL, COMPUTE, MEMORY)
ON_TRACES = (GPU,)
