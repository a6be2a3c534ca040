"""A replay: what is billed, what an engine may know, what cannot be beaten, and that bad engines harm nobody."""

import itertools
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from engines.builtin.cheapest_pool import CheapestPool
from engines.builtin.on_demand_only import OnDemandOnly
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.catalogue import Catalogue
from engines.contract import DecisionInput, DecisionOutput, Requirements
from engines.errors import EngineFailed
from engines.intake import EngineOrder, admit
from engines.replay.advisor import Advisor, hazard_of_bucket
from engines.replay.comparing import Progress, at_cost, compare, plays
from engines.replay.entrants import entered
from engines.replay.errors import AdvisorInvalid, TraceInvalid
from engines.replay.omniscient import least_usd
from engines.replay.playing import Contender, Stopped, play
from engines.replay.report import as_markdown, as_values
from engines.replay.traces import rates_seen, read_traces, trace_world
from engines.replay.workload import Workload
from engines.replay.world import step_prices
from tests.unit.engines.engine_files import engine_file
from tests.unit.engines.replay_worlds import ON_DEMAND, START, TWO_NODES, world

BUILT_IN = (OnDemandOnly(), CheapestPool(), SpotOptimizerV1())


def contender(engine: OnDemandOnly | CheapestPool | SpotOptimizerV1, cost: float = 0.5) -> Contender:
    return Contender(engine.name, engine.decide, {"interruption_cost_node_hours": cost})


# What is billed


def test_on_demand_costs_its_price_and_nothing_else() -> None:
    bill = play(world([[0.03, 0.04]] * 5), TWO_NODES, contender(OnDemandOnly()), 0.5)
    assert bill.total_usd == pytest.approx(5 * 2 * ON_DEMAND)
    assert (bill.node_hours, bill.spot_node_hours, bill.moves, bill.interruptions) == (10, 0, 0, 0)
    assert bill.unmet_hours == 0


def test_spot_costs_its_price_and_the_expected_interruptions() -> None:
    bill = play(world([[0.03]] * 5, hazard=[0.01]), TWO_NODES, contender(CheapestPool()), 0.5)
    assert bill.compute_usd == pytest.approx(5 * 2 * 0.03)
    assert bill.interruptions == pytest.approx(10 * 0.01)
    assert bill.interruption_usd == pytest.approx(10 * 0.01 * 0.5 * ON_DEMAND)
    assert bill.lost_node_hours == pytest.approx(10 * 0.01 * 0.5)


def test_a_move_is_billed_for_ten_minutes_of_the_old_node() -> None:
    bill = play(world([[0.03, 0.05], [0.03, 0.01]]), TWO_NODES, contender(CheapestPool()), 0.5)
    assert bill.moves == 2
    assert bill.overlap_usd == pytest.approx(2 * 0.03 / 6)
    assert bill.compute_usd == pytest.approx(2 * 0.03 + 2 * 0.01)


def test_a_trace_ends_nodes_and_the_pool_is_left_alone_for_an_hour() -> None:
    there = [[1, 1], [0, 1], [1, 1], [1, 1]]
    bill = play(world([[0.03, 0.05]] * 4, available=there), TWO_NODES, contender(CheapestPool()), 0.5)
    assert bill.interruptions == 2
    assert bill.interruption_usd == pytest.approx(2 * 0.5 * ON_DEMAND)
    # The second pool for the hour of the ban, then back to the first.
    assert bill.compute_usd == pytest.approx(2 * (0.03 + 0.05 + 0.03 + 0.03))
    assert bill.overlap_usd == pytest.approx(2 * 0.05 / 6)


def test_a_refused_launch_is_bought_on_demand_until_the_next_decision() -> None:
    bill = play(world([[0.03], [0.03]], available=[[0], [1]]), TWO_NODES, contender(CheapestPool()), 0.5)
    assert bill.refused == 2
    assert bill.interruptions == 0
    assert bill.compute_usd == pytest.approx(2 * ON_DEMAND + 2 * 0.03)


def test_another_cost_of_interruption_is_another_bill_of_the_same_course() -> None:
    past = world([[0.03, 0.04], [0.05, 0.02], [0.03, 0.06]], hazard=[0.01, 0.2])
    half, two = (play(past, TWO_NODES, contender(CheapestPool(), cost), cost) for cost in (0.5, 2.0))
    again = at_cost(half, 0.5, 2.0)
    assert again.total_usd == pytest.approx(two.total_usd)
    assert again.lost_node_hours == pytest.approx(two.lost_node_hours)


# What an engine may know


def test_no_decision_depends_on_what_comes_after_it() -> None:
    random = np.random.default_rng(3)
    prices = random.uniform(0.02, 0.09, (12, 3))
    there = random.random((12, 3)) < 0.8
    asked: list[list[str]] = []
    for cut in (12, 7):
        changed = prices.copy()
        changed[cut:] = 0.099
        seen: list[str] = []

        def spy(given: DecisionInput, seen: list[str] = seen) -> DecisionOutput:
            seen.append(given.model_dump_json())
            return SpotOptimizerV1().decide(given)

        availability = there.copy()
        availability[cut:] = True
        rates = rates_seen(availability, 1.0, np.full(3, 0.01))
        past = world(
            changed.tolist(), available=availability.astype(int).tolist(), probability=(-np.expm1(-rates)).tolist()
        )
        play(past, TWO_NODES, Contender("spy", spy), 0.5)
        asked.append([text for text in seen if datetime.fromisoformat(json.loads(text)["as_of"]) < past.at(7)])
    assert len(asked[0]) >= 7
    assert asked[0] == asked[1]


def test_a_price_holds_until_the_next_and_is_unknown_before_the_first() -> None:
    grid = np.array([0.0, 10.0, 15.0, 20.0, 99.0])
    held = step_prices(np.array([10.0, 20.0]), np.array([0.5, 0.7]), grid)
    assert np.isnan(held[0])
    assert held[1:].tolist() == [0.5, 0.5, 0.7, 0.7]


def test_a_pool_without_a_price_yet_is_not_told_of() -> None:
    seen: list[int] = []

    def spy(given: DecisionInput) -> DecisionOutput:
        seen.append(len(given.pools))
        return OnDemandOnly().decide(given)

    play(world([[0.03, float("nan")], [0.03, 0.05]]), TWO_NODES, Contender("spy", spy), 0.5)
    assert seen == [1, 2]


# What cannot be beaten


def test_the_optimum_is_the_cheapest_of_all_covers() -> None:
    past = world([[0.03, 0.02], [0.01, 0.2]], hazard=[0.0, 0.4])
    places = list(past.places)
    places[1] = replace(places[1], vcpu=4.0, memory_gib=4.0, on_demand=0.15)
    past = replace(past, places=tuple(places))
    needs = Requirements(vcpu=7, memory_gib=13, min_nodes=2)
    expected = 0.0
    for tick in range(2):
        each = [min(0.1, past.price[tick, 0]), min(0.15, past.price[tick, 1] + 0.4 * 0.5 * 0.15)]
        expected += min(
            a * each[0] + b * each[1]
            for a, b in itertools.product(range(6), repeat=2)
            if 2 * a + 4 * b >= 7 and 8 * a + 4 * b >= 13 and a + b >= 2
        )
    assert least_usd(past, Workload("w", needs), 0.5) == pytest.approx(expected)


def test_nobody_beats_the_optimum_and_nothing_is_broken(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    prices = np.repeat(random.uniform(0.02, 0.12, (4, 4)), 3, axis=0)
    with entered(Catalogue(tmp_path), ["spot_optimizer_v1"]) as entrants:
        for available in (None, (random.random((12, 4)) < 0.9).astype(int).tolist()):
            past = world(prices.tolist(), hazard=[0.01, 0.0, 0.3, 0.05], available=available)
            progress = Progress()
            found = list(compare(past, [TWO_NODES], entrants, (0.5, 2.0), draws=2, progress=progress))
            assert progress.done == plays(1, entrants, 2, 2)
            for one in found:
                for standing in one.standings:
                    assert standing.bill.violations == standing.bill.failures == standing.bill.unmet_hours == 0
                    assert standing.bill.total_usd >= one.omniscient_usd - 1e-9
            mine = next(s for s in found[0].standings if s.engine_id == "spot_optimizer_v1")
            ratio = mine.against["on_demand_only"]
            assert ratio.value < 1
            assert ratio.low is not None
            assert ratio.high is not None
            assert ratio.low <= ratio.high
            assert json.loads(json.dumps(as_values(found)))[0]["draws"] == 2
            assert as_markdown(found).count("| spot_optimizer_v1 |") == 2


# Engines that do badly, and engines from outside


def test_an_engine_that_fails_is_counted_and_nothing_is_done() -> None:
    def failing(given: DecisionInput) -> DecisionOutput:
        raise EngineFailed("bad", "it fell over")

    bill = play(world([[0.03]] * 3), TWO_NODES, Contender("bad", failing), 0.5)
    assert (bill.failures, bill.decisions, bill.unmet_hours, bill.total_usd) == (3, 3, 3, 0)


def test_broken_constraints_are_counted() -> None:
    def careless(given: DecisionInput) -> DecisionOutput:
        free = tuple(c.model_copy(update={"constraints": type(c.constraints)()}) for c in given.clusters)
        return CheapestPool().decide(given.model_copy(update={"clusters": free}))

    strict = TWO_NODES.constraints.model_copy(update={"min_on_demand_share": 1.0})
    bill = play(world([[0.03]] * 2), replace(TWO_NODES, constraints=strict), Contender("careless", careless), 0.5)
    assert bill.violations == 1


def test_a_replay_stops_when_asked_to() -> None:
    with pytest.raises(Stopped):
        play(world([[0.03]] * 2), TWO_NODES, contender(OnDemandOnly()), 0.5, stop=lambda: True)


def test_an_uploaded_engine_is_replayed_in_its_child(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    entry = admit(catalogue, engine_file(), EngineOrder("mine", "v1", "", "me", "mine.py"), START)
    past = world([[0.03], [0.03], [0.03]])
    with entered(catalogue, [entry.engine_id]) as entrants:
        found = next(iter(compare(past, [TWO_NODES], entrants, (0.5,))))
    mine = next(standing for standing in found.standings if standing.engine_id == "mine:v1")
    # It holds everything, so a cluster that begins with nothing stays that way.
    assert (mine.bill.decisions, mine.bill.failures, mine.bill.unmet_hours) == (3, 0, 3)


# Files


def test_a_bucket_s_rate_gives_its_midpoint_in_a_month() -> None:
    for bucket, midpoint in enumerate((0.025, 0.075, 0.125, 0.175, 0.6)):
        assert 1 - np.exp(-hazard_of_bucket(bucket) * 730.5) == pytest.approx(midpoint)


FEED = {"spot_advisor": {"us-east-1": {"Linux": {"p3.2xlarge": {"s": 50, "r": 4}}}}}


def test_the_advisor_s_feed_is_read() -> None:
    advisor = Advisor.read(json.dumps(FEED))
    advice = advisor.get("us-east-1", "Linux/UNIX", "p3.2xlarge")
    assert advice is not None
    assert (advice.bucket, advice.saving) == (4, 0.5)
    assert advisor.get("us-east-1", "Windows", "p3.2xlarge") is None
    for text in ("{}", "[", '{"spot_advisor": {"r": {"Linux": {"t": {"s": 1, "r": 9}}}}}'):
        with pytest.raises(AdvisorInvalid):
            Advisor.read(text)


def traces_in(folder: Path, **files: object) -> Path:
    made = folder / "availability_2026-03-02"
    made.mkdir()
    for name, content in files.items():
        (made / f"{name}.json").write_text(json.dumps(content))
    return made


def test_traces_are_read_by_their_names(tmp_path: Path) -> None:
    samples = {"metadata": {"gap_seconds": 600}, "data": [1, 1, 0, 1]}
    folder = traces_in(tmp_path, **{"us-east-1a_v100_1": samples, "us-east-1b_v100_1": samples})
    start, traces = read_traces(folder)
    assert start == START
    assert [(t.zone, t.instance_type, t.gap_s) for t in traces] == [
        ("us-east-1a", "p3.2xlarge", 600),
        ("us-east-1b", "p3.2xlarge", 600),
    ]
    past = trace_world(folder, {("us-east-1", "p3.2xlarge"): 3.0}, Advisor.read(json.dumps(FEED)))
    assert past.price[0].tolist() == [1.5, 1.5]
    assert past.available is not None
    assert past.available[:, 0].tolist() == [True, True, False, True]
    assert past.decide_every == 6
    with pytest.raises(TraceInvalid):
        trace_world(folder, {}, Advisor.read(json.dumps(FEED)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("somewhere_v100_1", {"metadata": {"gap_seconds": 60}, "data": [1]}),
        ("us-east-1a_t4_1", {"metadata": {"gap_seconds": 60}, "data": [1]}),
        ("us-east-1a_v100_1", {"metadata": {}, "data": [1]}),
        ("us-east-1a_v100_1", {"metadata": {"gap_seconds": 0}, "data": [1]}),
        ("us-east-1a_v100_1", {"metadata": {"gap_seconds": 60}, "data": []}),
        ("us-east-1a_v100_1", {"metadata": {"gap_seconds": 60}, "data": [2]}),
        ("us-east-1a_v100_1", {"metadata": {"gap_seconds": 60}, "data": ["x"]}),
        ("us-east-1a_v100_1", [1]),
    ],
)
def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path, name: str, content: object) -> None:
    with pytest.raises(TraceInvalid):
        read_traces(traces_in(tmp_path, **{name: content}))
    with pytest.raises(TraceInvalid):
        read_traces(tmp_path / "nowhere")


def test_a_rate_is_what_was_seen_so_far() -> None:
    there = np.array([[1], [1], [0], [1], [1]], dtype=np.bool_)
    rates = rates_seen(there, 1.0, np.array([0.01]))
    assert rates[:, 0] == pytest.approx([1 / 101, 1 / 102, 2 / 102, 2 / 103, 2 / 104])
    long = np.ones((400, 1), dtype=np.bool_)
    long[5] = False
    assert rates_seen(long, 1.0, np.array([0.01]))[-1, 0] == pytest.approx(1 / (168 + 100))
