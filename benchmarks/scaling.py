"""What an agent-step costs with more stores, SKUs, replications, and with more runners on a cluster.

    python -m benchmarks.scaling [--quick] [--json] [--only stores,skus,replications,runners]

Networks are `two_store` with more stores and SKUs: stores are copies of its two by turns, the stock and the
capacity above them grow with them. Unless a sweep says otherwise there are 2 stores, 1 SKU and 64 replications.
An agent-step is one agent's decision of one day.

simulator  all agents: base-stock orders (computed with numpy), the day, observations and rewards of every agent.
training   the stores' agents, which learn with hmarl's default PPO settings while the base-stock rule orders above
           them: sampling and learning together. The days of a rollout are chosen so that it has about the same
           number of the learners' agent-steps in every case, and with that the same number of gradient steps and
           a bounded memory; that number is 200 x 2048, so that at 200 stores too a rollout has 2048 days, which
           RLlib wants for minibatches of 2048. The rest are the default settings.

Every case runs in fresh processes, one a round, cases by turns; figures are medians with lowest and highest. The cost
of an agent-step is the processor time of the process, which other work on the machine disturbs less than the clock;
the clock's ratio is told beside it. Memory is the peak of the process, Python with torch and Ray included (that part
is what it held when the algorithm was built); Ray's own processes are not in it.

The runners run on a Ray cluster of several nodes on this machine: a head with 0 CPUs, which holds the learner, and
nodes of 1 CPU, as many as runners and at least 2, so that a node has one runner at most. It is bound to the loopback
interface, has a folder of its own, and ends with the measurement. A rollout, a quarter of that above, is the same for
any number of runners, which share the replications: only who samples differs. Sampling is the time of an iteration
that is not the learner's update: playing, sending the rollout, sending the weights.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.command import parser_of

SWEEPS: dict[str, tuple[int, ...]] = {
    "stores": (2, 10, 50, 200),
    "skus": (1, 10, 100),
    "replications": (16, 64, 256, 1024),
}
RUNNERS = (0, 1, 2, 4)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Case:
    """What one process measures; ``runners`` None: the sweeps, else the numbers of runners."""

    stores: int = 2
    skus: int = 1
    replications: int = 64
    agent_steps: int = 409_600  # of learners in a rollout, about
    iterations: int = 3
    seconds: float = 1.0  # of the simulator alone
    runners: tuple[int, ...] | None = None

    @property
    def days(self) -> int:
        """Of a rollout."""
        return max(1, round(self.agent_steps / (self.stores * self.skus * self.replications)))


def network_of(stores: int, skus: int) -> Any:
    """`two_store` with other numbers of stores and SKUs."""
    from hmarl.network import Network, load_network

    data = load_network("two_store").model_dump()
    pair = [data["nodes"].pop(name) for name in ("store_1", "store_2")]
    for node in data["nodes"].values():
        node["opening_stock"] *= stores / 2
        if node["order_capacity"] is not None:
            node["order_capacity"] *= stores * skus / 2
    data["nodes"] |= {f"store_{i + 1}": pair[i % 2] for i in range(stores)}
    data["skus"] = [f"sku_{i + 1}" for i in range(skus)]
    return Network.model_validate(data)


def measure_simulator(case: Case) -> Figures:
    """The simulator alone, all agents."""
    import numpy as np

    from benchmarks.simulator import base_stock_levels
    from hmarl.roles import Chain

    chain = Chain(network_of(case.stores, case.skus), case.replications)
    levels = base_stock_levels(chain.simulator.params)
    agents = sum(len(role.agents) for role in chain.roles.values())

    def day() -> None:
        chain.step(np.maximum(levels - chain.simulator.inventory_position(), 0.0))
        for role in chain.roles:
            chain.observe(role)
            chain.rewards(role)

    for _ in range(3):
        day()
    played, began, processor = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - began) < case.seconds:
        day()
        played += agents * case.replications
    cost = 1e6 * (time.process_time() - processor) / played
    return {"simulator_per_second": [played / elapsed], "simulator_cost": [cost]}


def algorithm_of(case: Case, runners: int = 0) -> Any:
    """RLlib's algorithm as hmarl configures it; runners share the replications."""
    from hmarl.learning.algorithm import ppo_config
    from hmarl.learning.settings import PPOSettings
    from hmarl.policies import make_policy

    network = network_of(case.stores, case.skus)
    rule = make_policy("base_stock", network)
    ppo = PPOSettings(replications=case.replications // max(1, runners), days=case.days)
    others = {"warehouse": rule, "supplier": rule}
    config = ppo_config(network, ppo, learns=["store"], others=others, steps=10**9, num_env_runners=runners)
    return config.build_algo()


def iteration(algorithm: Any) -> tuple[float, float]:
    """Seconds of an iteration, and of the learner's update in it."""
    learning, group = 0.0, algorithm.learner_group
    update: Callable[..., Any] = type(group).update

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal learning
        began = time.perf_counter()
        result = update(group, *arguments, **named)
        learning += time.perf_counter() - began
        return result

    group.update = timed
    began = time.perf_counter()
    algorithm.train()
    return time.perf_counter() - began, learning


def peak_memory() -> float:
    """Of this process so far, MB."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure_case(case: Case) -> Figures:
    """One process's figures of a case of the sweeps."""
    from hmarl.session import connect

    with connect():
        algorithm = algorithm_of(case)
        before = peak_memory()
        iteration(algorithm)
        processor = time.process_time()
        times = [iteration(algorithm) for _ in range(case.iterations)]
        processor = (time.process_time() - processor) / case.iterations
        peak = peak_memory()
        algorithm.stop()
    steps = case.stores * case.skus * case.replications * case.days
    return {
        "training_per_second": [steps / seconds for seconds, _ in times],
        "training_cost": [1e6 * processor / steps],
        "seconds_an_iteration": [seconds for seconds, _ in times],
        "learning_share": [learning / seconds for seconds, learning in times],
        "peak_mb": [peak],
        "before_mb": [before],
        **measure_simulator(case),
    }


@contextmanager
def cluster_of(nodes: int) -> Iterator[str]:
    """The address of a cluster of our own: a head with 0 CPUs and nodes of 1 CPU, on the loopback interface."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def measure_runners(case: Case) -> dict[str, Figures]:
    """One process's figures for every number of runners, on one cluster."""
    import ray

    from hmarl.session import connect

    figures: dict[str, Figures] = {}
    assert case.runners is not None
    with cluster_of(max(2, *case.runners)) as address, connect(address):
        for runners in case.runners:
            algorithm = algorithm_of(case, runners)
            iteration(algorithm)
            times = [iteration(algorithm) for _ in range(case.iterations)]
            group = algorithm.env_runner_group
            nodes = group.foreach_env_runner(
                lambda runner: ray.get_runtime_context().get_node_id(), local_env_runner=False
            )
            algorithm.stop()
            steps = case.stores * case.skus * case.days * (case.replications // max(1, runners)) * max(1, runners)
            figures[str(runners)] = {
                "training_per_second": [steps / seconds for seconds, _ in times],
                "sampled_per_second": [steps / (seconds - learning) for seconds, learning in times],
                "learned_per_second": [steps / learning for _, learning in times],
                "nodes": [len(set(nodes))],
            }
    return figures


def in_fresh_process(case: Case) -> Any:
    """What a new Python says about a case."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--case", json.dumps(asdict(case))]
    with tempfile.TemporaryDirectory(prefix="hmarl-", ignore_cleanup_errors=True) as folder:
        own = dict.fromkeys(THREADS, "1")
        if case.runners is not None:  # a cluster that leaves no trace for others, on the loopback interface
            own |= {"RAY_TMPDIR": folder, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        done = subprocess.run(command, env=os.environ | own, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def joined(parts: list[Figures]) -> dict[str, dict[str, float]]:
    """Median, lowest and highest of the rounds' figures."""
    rows = {}
    for name in parts[0]:
        values = [value for part in parts for value in part[name]]
        rows[name] = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return rows


def measure_sweeps(sweeps: dict[str, tuple[int, ...]], base: Case, rounds: int) -> dict[str, Any]:
    """All cases of the sweeps; one that belongs to several is measured once."""
    cases = {name: [Case(**asdict(base) | {name: value}) for value in values] for name, values in sweeps.items()}
    parts: dict[Case, list[Figures]] = {case: [] for cases_of in cases.values() for case in cases_of}
    for _ in range(rounds):
        for case, done in parts.items():
            done.append(in_fresh_process(case))
    return {
        name: [{name: getattr(case, name), "days": case.days, **joined(parts[case])} for case in cases_of]
        for name, cases_of in cases.items()
    }


def measure_cluster(base: Case, rounds: int) -> list[dict[str, Any]]:
    """Every number of runners."""
    assert base.runners is not None
    parts = [in_fresh_process(base) for _ in range(rounds)]
    return [{"runners": n, **joined([part[str(n)] for part in parts])} for n in base.runners]


def measure(sweeps: dict[str, tuple[int, ...]], runners: tuple[int, ...], base: Case, rounds: int) -> dict[str, Any]:
    """All that the command shows."""
    tables = measure_sweeps(sweeps, base, rounds)
    return {
        "cores": os.cpu_count(),
        "rounds": rounds,
        "agent_steps_in_a_rollout": base.agent_steps,
        "sweeps": tables,
        "ratios": {name: cost_ratios(rows, name) for name, rows in tables.items()},
        "runners": measure_cluster(replace(base, agent_steps=base.agent_steps // 4, runners=runners), rounds)
        if runners
        else [],
    }


def cost_ratios(rows: list[dict[str, Any]], name: str) -> dict[str, dict[str, float]]:
    """Cost of an agent-step at the most of something, over that at the fewest."""
    fewest, most = min(rows, key=lambda row: row[name]), max(rows, key=lambda row: row[name])
    return {
        what: {
            "processor": most[f"{what}_cost"]["median"] / fewest[f"{what}_cost"]["median"],
            "clock": fewest[f"{what}_per_second"]["median"] / most[f"{what}_per_second"]["median"],
        }
        for what in ("simulator", "training")
    }


def _spread(figure: dict[str, float]) -> str:
    return f"{figure['median']:11,.0f}{figure['lowest']:11,.0f} -{figure['highest']:10,.0f}"


def show(result: dict[str, Any]) -> None:
    """The tables."""
    print(
        "agent-steps/s: median, lowest - highest; us: microseconds of the processor an agent-step; learning: the\n"
        "learner's share of an iteration; MB: peak, and what of it was there before training\n"
    )
    wide = f"{'training/s':>11s}{'':23s}{'us':>7s}{'simulator/s':>13s}{'':23s}{'us':>7s}"
    for name, rows in result["sweeps"].items():
        print(f"{name:>12s}{'days':>6s}{wide}{'s/iteration':>13s}{'learning':>10s}{'MB':>7s}{'before':>8s}")
        for row in rows:
            print(
                f"{row[name]:12d}{row['days']:6d}{_spread(row['training_per_second'])}"
                f"{row['training_cost']['median']:7.2f}  {_spread(row['simulator_per_second'])}"
                f"{row['simulator_cost']['median']:7.2f}{row['seconds_an_iteration']['median']:13.2f}"
                f"{row['learning_share']['median']:10.0%}{row['peak_mb']['median']:7.0f}"
                f"{row['before_mb']['median']:8.0f}"
            )
        values = [row[name] for row in rows]
        for what, ratio in result["ratios"][name].items():
            told = f"{ratio['processor']:.2f} ({ratio['clock']:.2f} by the clock)"
            print(f"cost of an agent-step at {max(values)} {name} / at {min(values)}: {what} {told}")
        print()
    if result["runners"]:
        print(f"{'runners':>12s}{'nodes':>6s}{'training/s':>11s}{'':23s}{'sampling/s':>13s}{'':23s}{'learning/s':>13s}")
        for row in result["runners"]:
            print(
                f"{row['runners']:12d}{row['nodes']['median']:6.0f}{_spread(row['training_per_second'])}"
                f"  {_spread(row['sampled_per_second'])}  {_spread(row['learned_per_second'])}"
            )
        print(
            f"{result['cores']} cores set the limit: runners, the learner and Ray's own processes share them, "
            "and runners that find\nno idle core take time from each other."
        )


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("scaling", __doc__)
    names = [*SWEEPS, "runners"]
    parser.add_argument("--quick", action="store_true", help="one round, one iteration each, a few minutes in all")
    parser.add_argument("--only", default=",".join(names), help="which sweeps (default: all)")
    parser.add_argument("--case", help=SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.case:
        given = json.loads(arguments.case)
        case = Case(**given | {"runners": given["runners"] and tuple(given["runners"])})
        print(json.dumps(measure_case(case) if case.runners is None else measure_runners(case)))
        return
    wanted = arguments.only.split(",")
    if set(wanted) - set(names):
        parser.error(f"--only: {arguments.only!r}: some of {','.join(names)}")
    base, rounds = (Case(iterations=1, seconds=0.3), 1) if arguments.quick else (Case(), 3)
    sweeps = {name: values for name, values in SWEEPS.items() if name in wanted}
    result = measure(sweeps, RUNNERS if "runners" in wanted else (), base, rounds)
    show(result)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
