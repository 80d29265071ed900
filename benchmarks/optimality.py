"""How far trained policies are from proven optima, and from the best rules: the tables of the README.

    python -m benchmarks.optimality [--only lost_sales,one_warehouse,one_supplier,nonstationary] [--seeds 3]
                                    [--jobs 2] [--out runs/optimality] [--show] [--json]

Each training is a run of `python -m hmarl.train`, printed as it starts, with hmarl's own settings but for the length
and the width of its validations; two at a time, one core each. A row is written when a training is finished: the same
command again goes on where it stopped, --show prints the tables of what is there.

- lost_sales, one_warehouse, one_supplier: instances of tests/reference whose optimum is proven. All costs are exact:
  the policy's Markov chain, played by the simulator (hmarl.policy_cost). Rules are tuned on exact costs. "common
  table" and "own tables" are the best found of stores that order by their own stock alone (hmarl.optimum
  --decentralised), alike or each in its own way. Stores behind a warehouse are trained through the phases and all
  together from scratch.
- nonstationary: three networks without a proven optimum, fixed before anything was trained on them. Costs are those of
  2,000 test episodes, differences paired.

No training starts from a rule: agents order quantities, and begin with random weights.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from benchmarks.command import chosen, one_thread, parser_of

if TYPE_CHECKING:
    from hmarl.network import Network

GROUPS = ("lost_sales", "one_warehouse", "one_supplier", "nonstationary")
NAMES = ("optimal", "base-stock", "capped", "common table", "own tables")
RIVALS = ("tuned_forecast", "tuned_capped_forecast", "tuned_base_stock", "tuned_capped_base_stock")
EPISODES = 2000  # that networks without an optimum are judged on


@dataclass(frozen=True)
class Instance:
    """A network and the ways it is trained.

    Attributes
    ----------
    trainings
        By name the arguments of ``hmarl.train`` beside network and seed.
    """

    group: str
    network: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    trainings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``lost_sales lead_time=4 penalty=4``."""
        return " ".join([self.network, *(f"{key}={json.dumps(value)}" for key, value in self.changes.items())])

    def load(self) -> Network:
        """The network."""
        from hmarl.network import load_network

        return load_network(self.network, **self.changes)

    def arguments(self) -> list[str]:
        """What names the network on a command line."""
        changes = [part for key, value in self.changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        return ["--network", self.network, *changes]


def instances() -> list[Instance]:
    """What is trained, in the order of the tables."""
    from_scratch = ("--phases", "phase4_joint")
    found = [
        Instance("lost_sales", "lost_sales", {"lead_time": lead, "penalty": penalty}, {"stores": LONG})
        for lead, penalty in ((1, 4), (2, 4), (2, 19), (4, 4))
    ]
    for means, penalty in (([2, 2], 4), ([2, 2], 9), ([1, 1], 9)):
        changes = {"mean_demand": means, "penalty": penalty}
        trainings = {"phases": PHASED, "together": (*from_scratch, *JOINT)}
        found.append(Instance("one_warehouse", "one_warehouse", changes, trainings))
    for penalty in (9, 4):
        changes = {"mean_demand": [1, 1], "penalty": penalty}
        trainings = {"phases": PHASED, "together": (*from_scratch, *JOINT)}
        found.append(Instance("one_supplier", "one_supplier", changes, trainings))
    rules = ("--rules", ",".join(RIVALS), "--acting-rule", RIVALS[0])
    for preset in ("weekday_store", "season_spikes", "unreliable_supply"):
        found.append(Instance("nonstationary", preset, {}, {"stores": rules}))
    return found


LONG = ("--steps", "6000000", "--evaluation-episodes", "1024")
PHASED = ("--steps", "4000000", "--evaluation-episodes", "1024")
JOINT = ("--steps", "9000000", "--evaluate-every", "500000", "--evaluation-episodes", "1024")


class Rows:
    """What is finished: a line of JSON each in ``rows.jsonl``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = folder / "rows.jsonl", Lock()
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with self._lock:
            self.rows.append(row)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def find(self, **key: Any) -> list[dict[str, Any]]:
        """The rows with these values."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in key.items())]


def references(instance: Instance) -> dict[str, Any]:
    """The proven optimum and what the best rules cost, money a day, exactly."""
    from hmarl.exact import best_decentralised, optimal_cost, policy_cost
    from hmarl.policies import make_policy

    network = instance.load()
    stores = len(network.nodes_of("store"))
    rule = "echelon_base_stock" if stores > 1 else "base_stock"
    costs = {"optimal": optimal_cost(network).cost}
    costs["base-stock"] = policy_cost(network, make_policy(f"tuned_{rule}", network))
    if stores > 1:
        costs["common table"] = best_decentralised(network)
        costs["own tables"] = best_decentralised(network, shared=False)
    else:
        costs["capped"] = policy_cost(network, make_policy("tuned_capped_base_stock", network))
    return costs


def train(instance: Instance, training: str, seed: int, folder: Path) -> dict[str, Any]:
    """A run of hmarl.train, in a process of its own; what came of it."""
    values = "-".join(str(value) for value in instance.changes.values())
    name = "".join(c if c.isalnum() else "-" for c in f"{instance.network}-{values}-{training}-{seed}")
    arguments = [*instance.arguments(), *instance.trainings[training], "--seed", str(seed), "--name", name]
    command = ["-m", "hmarl.train", *arguments]
    line = shlex.join(["python", *command])
    print(line, flush=True)
    began = time.perf_counter()
    extra = ["--runs", str(folder), "--ppo-set", "threads=1", "--json"]
    done = subprocess.run([sys.executable, *command, *extra], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    row = {"minutes": (time.perf_counter() - began) / 60, "command": line}
    result = json.loads(done.stdout.splitlines()[-1])
    return row | (result["optimum"] if instance.group != "nonstationary" else judged(folder / name, instance))


def judged(folder: Path, instance: Instance) -> dict[str, Any]:
    """The mean cost of a run's policy on the test paths, and its differences to the rivals' in per cent."""
    from hmarl.learning.run import Run
    from hmarl.report import compare

    run = Run(folder)
    policies = {**{name: run.rules[name] for name in RIVALS}, "ppo": run.policy}
    others = list(RIVALS[1:])
    seed = int(run.config["settings"]["seed"])
    found = compare(
        instance.load(), policies, baseline=RIVALS[0], references=others, replications=EPISODES, seed=seed
    ).result("ppo", "cost")
    relative = {name: [100 * part for part in estimate[:3]] for name, estimate in found.relative.items()}
    return {"cost": found.value.mean, "relative": relative}


def work(only: Sequence[str], seeds: int, jobs: int, folder: Path, rows: Rows) -> None:
    """Everything that is not finished yet."""
    wanted = [instance for instance in instances() if instance.group in only]
    for instance in wanted:
        if instance.group != "nonstationary" and not rows.find(instance=instance.name, kind="references"):
            rows.add({"kind": "references", "instance": instance.name, **references(instance)})
    tasks = [(i, training, seed) for seed in range(seeds) for i in wanted for training in i.trainings]

    def task(job: tuple[Instance, str, int]) -> None:
        instance, training, seed = job
        key = {"kind": "training", "instance": instance.name, "training": training, "seed": seed}
        if not rows.find(**key):
            rows.add({**key, **train(instance, training, seed, folder / "runs")})

    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(task, tasks):
            pass


def table(rows: Rows, group: str) -> Iterator[str]:
    """The rows of a group in Markdown."""
    for instance in (i for i in instances() if i.group == group):
        for training in instance.trainings:
            found = rows.find(instance=instance.name, kind="training", training=training)
            found.sort(key=lambda row: row["seed"])
            if found and group == "nonstationary":
                yield from map(_line, _against_rivals(instance, found))
            elif found:
                (costs,) = rows.find(instance=instance.name, kind="references")
                trained = [training] if len(instance.trainings) > 1 else []
                yield _line([instance.name, *trained, *_above_optimum(costs, found)])


def _above_optimum(costs: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> list[str]:
    from hmarl.report.statistics import estimate

    gaps = [100 * row["gap"] for row in found]
    mean = estimate(gaps)
    rules = [f"{100 * (costs[name] / costs['optimal'] - 1):.2f}" for name in NAMES[1:] if name in costs]
    half = f" ±{mean.half:.2f}" if len(gaps) > 1 else ""
    each = ", ".join(f"{gap:.2f}" for gap in gaps)
    return [f"{costs['optimal']:.4f}", *rules, each, f"{mean.mean:.2f}{half}", _minutes(found)]


def _against_rivals(instance: Instance, found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for row in found:
        cells = [f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in row["relative"].values()]
        yield [instance.name, str(row["seed"]), f"{row['cost']:.4g}", *cells, _minutes([row])]


def _minutes(found: Sequence[Mapping[str, Any]]) -> str:
    return f"{max(row['minutes'] for row in found):.1f}"


def head(group: str) -> Iterator[str]:
    """The first two lines of a group's table."""
    if group == "nonstationary":
        cells = ["cost, % of that of", "seed", "cost a day", *RIVALS, "minutes"]
    else:
        rules = ("base-stock", "capped") if group == "lost_sales" else ("base-stock", "common table", "own tables")
        trained = [] if group == "lost_sales" else ["trained"]
        cells = ["% above the optimum", *trained, "optimum", *rules, "PPO, each seed", "mean", "minutes"]
    yield _line(cells)
    yield _line(["---"] * len(cells))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("optimality", __doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each instance")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--out", type=Path, default=Path("runs/optimality"), help="folder of rows and runs")
    parser.add_argument("--show", action="store_true", help="train nothing, print the tables of what is finished")
    arguments = parser.parse_args(argv)
    only = chosen(parser, arguments.only, GROUPS)
    one_thread()
    rows = Rows(arguments.out)
    if not arguments.show:
        work(only, arguments.seeds, arguments.jobs, arguments.out, rows)
    for group in only:
        print()
        print("\n".join([*head(group), *table(rows, group)]))
    if arguments.json:
        print(json.dumps(rows.rows))


if __name__ == "__main__":
    main(sys.argv[1:])
