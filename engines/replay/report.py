"""What a replay found, as a table for people and as plain values for programmes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from engines.replay.comparing import OMNISCIENT, Comparison, Ratio, Standing
from engines.replay.entrants import BASELINE, RIVAL

_HEAD = (
    "| interruption costs | engine | USD | of on demand | of cheapest_pool | of the optimum | interruptions "
    "| lost node-hours | moves per node and week | violations |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def as_values(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as JSON values; money in USD over the whole window."""
    return [
        {
            "world": one.world.name,
            "start": one.world.start.isoformat(),
            "hours": one.world.hours,
            "pools": len(one.world.places),
            "predicted_by": one.world.predicted_by,
            "interruptions": "traced" if one.world.available is not None else "expected",
            "workloads": list(one.workloads),
            "interruption_node_hours": one.interruption_node_hours,
            "omniscient_usd": one.omniscient_usd,
            "draws": one.draws,
            "engines": [_values(standing) for standing in one.standings],
        }
        for one in found
    ]


def _values(standing: Standing) -> dict[str, Any]:
    return {
        "engine_id": standing.engine_id,
        "total_usd": standing.bill.total_usd,
        **asdict(standing.bill),
        "against": {name: asdict(ratio) for name, ratio in standing.against.items()},
    }


def as_markdown(found: Sequence[Comparison]) -> str:
    """Return one table per world, the costs of an interruption one after the other."""
    lines: list[str] = []
    for name in dict.fromkeys(one.world.name for one in found):
        mine = [one for one in found if one.world.name == name]
        lines += ["", f"**{name}**: {_about(mine[0])}", "", *_HEAD]
        lines += [_row(one, standing) for one in mine for standing in one.standings]
    return "\n".join(lines[1:])


def _about(one: Comparison) -> str:
    world = one.world
    counted = "as the trace has them" if world.available is not None else "counted by expectation"
    drawn = f"; in brackets 5th to 95th percentile over {one.draws} draws of the pools" if one.draws else ""
    return (
        f"{world.hours / 24:.1f} days from {world.start:%Y-%m-%d}, {len(world.places)} pools, "
        f"{', '.join(one.workloads)}; predictions by {world.predicted_by}, interruptions {counted}{drawn}."
    )


def _row(one: Comparison, standing: Standing) -> str:
    bill = standing.bill
    weekly = bill.moves / (bill.node_hours / 168) if bill.node_hours else 0.0
    cells = (
        f"{one.interruption_node_hours:g} node-hours",
        standing.engine_id,
        f"{bill.total_usd:,.0f}",
        *(_ratio(standing.against.get(other)) for other in (BASELINE, RIVAL, OMNISCIENT)),
        f"{bill.interruptions:,.0f}",
        f"{bill.lost_node_hours:,.1f}",
        f"{weekly:.2f}",
        f"{bill.violations}",
    )
    return f"| {' | '.join(cells)} |"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "1"
    spread = f" [{ratio.low:.3f}, {ratio.high:.3f}]" if ratio.low is not None else ""
    return f"{ratio.value:.3f}{spread}"
