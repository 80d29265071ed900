"""Seconds of training until a policy is within 2 % of the optimal cost: hmarl, RLlib as it comes, Stable-Baselines3.

    python -m benchmarks.time_to_quality [--row 0] [--cap 1200] [--seeds 3] [--only hmarl,sb3] [--cpu] [--json]

The instance is a warehouse with two stores, lost sales, whose optimal cost is known (tests/reference/networks.json;
--row chooses one of three). All train from scratch on hmarl's simulator, each with good settings of its own (the
rivals on one torch thread, hmarl's learner on two), and are paid minus the chain's cost:

- hmarl: ppo_config with its defaults, PPOSettings(); store and warehouse learn together, the stores share a policy and
  see their own stock, the warehouse its own and the stores'
- RLlib: stock PPO on hmarl.envs.rllib.MultiAgentSupplyChain with the same agents
- Stable-Baselines3: PPO as one central agent on a batch of chains, which sees all stock and pipelines and orders
  for all nodes: it could reach the optimum, agents that see their own part only come to within about 0.8 %

Contenders take turns in one process, of --every or a twentieth of the time so far; only training is on their clocks,
up to --cap each. After each turn the greedy policy's long-run cost a day is measured on the same demand paths for all
(split "validation").
With --cpu the clocks count this process's CPU time, for a machine that is busy with other work.
The first one within 2 % counts if fresh paths (split "test") confirm it. Shown are medians over the seeds and
each curve of gaps. Stable-Baselines3 comes with `pip install -e '.[test]'`.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.command import chosen, one_thread, parser_of

if TYPE_CHECKING:
    from hmarl.network import Network
    from hmarl.policies import Policy
    from hmarl.simulator import Split

REFERENCE = Path(__file__).parents[1] / "tests" / "reference" / "networks.json"
WITHIN = 0.02
PATHS, DAYS, WARMUP = 256, 1100, 100  # that a policy is judged on
NAMES = ("hmarl", "rllib", "sb3")


class Learner(Protocol):
    """A contender."""

    days: int  # of a chain, all replications together, trained on so far

    def iterate(self) -> None:
        """A rollout and what is learned from it."""

    def policy(self) -> Policy:
        """The greedy policy of this moment."""


Maker = Callable[["Network", int], Learner]


@dataclass(frozen=True)
class Instance:
    """A network with a known optimum; costs are money a day."""

    network: Network
    optimal_cost: float
    base_stock_cost: float

    def gap(self, policy: Policy, split: Split) -> tuple[float, float]:
        """How far a policy's cost is above the optimum, and the half-width of its 95 % interval, as shares."""
        from hmarl.policies.simulate import simulate

        paths = simulate(self.network, policy, replications=PATHS, days=DAYS, warmup=WARMUP, split=split)
        costs = paths.metrics["cost"] / self.optimal_cost
        return float(costs.mean()) - 1, 1.96 * float(costs.std(ddof=1)) / math.sqrt(len(costs))


def instance(row: int) -> Instance:
    """A row of the reference table."""
    from hmarl.network import load_network

    table = json.loads(REFERENCE.read_text())["warehouse_and_two_stores"]
    values = dict(zip(table["columns"], table["rows"][row], strict=True))
    arguments = {name: values[name] for name in ("mean_demand", "penalty", "warehouse_holding")}
    return Instance(load_network("one_warehouse", **arguments), values["optimal_cost"], values["best_base_stock_cost"])


@dataclass
class Race:
    """One contender with one seed."""

    contender: str
    seed: int
    learner: Learner
    clock: Callable[[], float] = time.perf_counter
    seconds: float = 0.0
    reached: float | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)

    def turn(self, instance: Instance, seconds: float) -> None:
        """Train for some seconds, then be judged."""
        began = self.clock()
        while (elapsed := self.clock() - began) < seconds:
            self.learner.iterate()
        self.seconds += elapsed
        policy = self.learner.policy()
        gap, _ = instance.gap(policy, "validation")
        self.curve.append((self.seconds, gap))
        if gap <= WITHIN and instance.gap(policy, "test")[0] <= WITHIN:
            self.reached = self.seconds

    def result(self) -> dict[str, Any]:
        return {
            "contender": self.contender,
            "seed": self.seed,
            "seconds_to_quality": self.reached,
            "seconds": self.seconds,
            "days": self.learner.days,
            "lowest_gap": min(gap for _, gap in self.curve),
            "curve": self.curve,
        }


def run_seed(
    instance: Instance,
    makers: Mapping[str, Maker],
    seed: int,
    cap: float,
    every: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Race]:
    """All contenders with one seed, turn about, until each is there or at the cap."""
    races = [Race(name, seed, make(instance.network, seed), clock) for name, make in makers.items()]
    while running := [race for race in races if race.reached is None and race.seconds < cap]:
        for race in running:
            race.turn(instance, min(max(every, race.seconds / 20), cap - race.seconds))
    return races


def summary(results: Sequence[Mapping[str, Any]], cap: float) -> list[dict[str, Any]]:
    """By contender the median over the seeds; one that is not there at the cap counts as later than all others."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(result["contender"] for result in results):
        own = [result for result in results if result["contender"] == name]
        times = [math.inf if result["seconds_to_quality"] is None else result["seconds_to_quality"] for result in own]
        median = statistics.median(times)
        rows.append(
            {
                "contender": name,
                "median_seconds": None if math.isinf(median) else median,
                "reached": sum(math.isfinite(seconds) for seconds in times),
                "seeds": len(own),
                "median_lowest_gap": statistics.median(result["lowest_gap"] for result in own),
                "days_a_second": sum(result["days"] for result in own) / sum(result["seconds"] for result in own),
            }
        )
    ours = next((row["median_seconds"] for row in rows if row["contender"] == "hmarl"), None)
    for row in rows:
        seconds = row["median_seconds"]
        row["times_hmarl"] = None if ours is None else (cap if seconds is None else seconds) / ours
    return rows


def run(
    row: int, cap: float, seeds: int, every: float, only: Sequence[str] = NAMES, cpu: bool = False
) -> dict[str, Any]:
    """The whole comparison."""
    import torch

    from benchmarks import learners
    from hmarl.session import connect

    torch.set_num_threads(1)
    place = instance(row)
    every_maker: dict[str, Maker] = {"hmarl": learners.Hmarl, "rllib": learners.RLlib, "sb3": learners.SB3}
    makers = {name: every_maker[name] for name in only}
    results = []
    with connect():
        for make in makers.values():  # what is compiled or loaded at first use is on nobody's clock
            make(place.network, seeds).iterate()
        for seed in range(seeds):
            races = run_seed(place, makers, seed, cap, every, time.process_time if cpu else time.perf_counter)
            results += [race.result() for race in races]
            _, half_width = place.gap(races[0].learner.policy(), "validation")
            del races
    return {
        "row": row,
        "optimal_cost": place.optimal_cost,
        "base_stock_gap": place.base_stock_cost / place.optimal_cost - 1,
        "within": WITHIN,
        "half_width": half_width,
        "cap": cap,
        "cpu_seconds": cpu,
        "results": results,
        "summary": summary(results, cap),
    }


def show(result: Mapping[str, Any]) -> None:
    """Curves, then the table."""
    for race in result["results"]:
        chosen = race["curve"][:: max(1, len(race["curve"]) // 8)]
        points = ", ".join(f"{seconds:.0f} s {gap:.1%}" for seconds, gap in [*chosen, race["curve"][-1]])
        print(f"{race['contender']}, seed {race['seed']}: {points}")
    print(f"\n{'':10s}{'seconds to 2 %':>16s}{'x hmarl':>10s}{'seeds there':>13s}{'lowest gap':>12s}{'days/s':>10s}")
    for row in result["summary"]:
        late = row["median_seconds"] is None
        seconds = f"over {result['cap']:,.0f}" if late else f"{row['median_seconds']:,.0f}"
        times = "" if row["times_hmarl"] is None else f"{'over ' if late else ''}{row['times_hmarl']:.1f}"
        there = f"{row['reached']} of {row['seeds']}"
        print(
            f"{row['contender']:10s}{seconds:>16s}{times:>10s}{there:>13s}"
            f"{row['median_lowest_gap']:12.2%}{row['days_a_second']:10,.0f}"
        )
    print(
        f"Optimal cost {result['optimal_cost']} a day; the best base-stock policy is {result['base_stock_gap']:.2%} "
        f"above it. Gaps are known to {result['half_width']:.2%}."
    )


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("time_to_quality", __doc__)
    parser.add_argument("--row", type=int, default=0, choices=(0, 1, 2), help="which instance of the reference")
    parser.add_argument("--cap", type=float, default=1200, help="most seconds of training for each contender and seed")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each contender")
    parser.add_argument("--every", type=float, default=0.5, help="least seconds of training between two judgements")
    parser.add_argument("--cpu", action="store_true", help="seconds of CPU time instead of the clock's")
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="one seed, 8 seconds each: shows that it runs, no result")
    arguments = parser.parse_args(argv)
    only = chosen(parser, arguments.only, NAMES)
    one_thread()
    cap, seeds, every = (8.0, 1, 4.0) if arguments.quick else (arguments.cap, arguments.seeds, arguments.every)
    result = run(arguments.row, cap, seeds, every, only, arguments.cpu)
    show(result)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
