"""Agent-steps a second, learning included: hmarl, a hand-written PyTorch loop, Stable-Baselines3, RLlib as it comes.

    python -m benchmarks.training [--quick] [--cpu] [--only handwritten,hmarl] [--json]

An agent-step is one decision of an agent that learns; each is trained on `epochs` times. On `two_store` the two
stores learn one shared policy, warehouse and supplier order by the base-stock rule, on the same simulator, with
the same hyperparameters (PPO_SETTINGS["classic"]), a rollout of 2,048 agent-steps, and one torch thread (from
minibatches of 1,024 on, so in the last two tables, hmarl works out the critic's gradient on a second):

- hand-written: benchmarks/handwritten_ppo.py, the yardstick; 16 chains side by side, the critic sees the chain
- Stable-Baselines3: PPO with fused Adam on hmarl.envs.RoleVectorEnv, 1, 16 and 64 chains; no global critic
- RLlib: stock PPO on hmarl.envs.rllib.MultiAgentSupplyChain, 1 and 16 environments; no global critic
- hmarl: ppo_config, 16 chains, metrics included; the critic sees the chain

Two tables, minibatches of 64 and 512. Two more hold hmarl with its own defaults, PPOSettings(), against the
hand-written loop with the same numbers: the stores alone, and all roles together.

The contenders take turns, an iteration each, in one process; figures are medians over the rounds with the
lowest and highest, ratios are of medians; --cpu counts seconds of this process's CPU time, for a machine that
is busy with other work. Stable-Baselines3 comes with `pip install -e '.[test]'`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.command import chosen, one_thread, parser_of

if TYPE_CHECKING:
    from hmarl.learning.settings import PPOSettings

NETWORK = "two_store"
RIVALS = ("handwritten", "sb3", "rllib", "hmarl")
SB3_CHAINS = (16, 64, 1)
RLLIB_ENVIRONMENTS = (16, 1)
ROUNDS = 15
Iterate = Callable[[], int]  # samples a rollout, trains on it; its agent-steps
Contenders = dict[str, Iterate]


def classic(minibatch: int) -> PPOSettings:
    """The published hyperparameters, 2,048 agent-steps of two stores a rollout."""
    from hmarl.learning.settings import PPO_SETTINGS

    return PPO_SETTINGS["classic"].model_copy(update={"days": 64, "minibatch": minibatch})


def contenders(settings: PPOSettings, only: Sequence[str] = RIVALS, batched: bool = False) -> Contenders:
    """All that train the stores with these settings; or those alone that step a batch of chains."""
    made: Contenders = {}
    fewest = 2 if batched else 1
    if "handwritten" in only:
        made["hand-written"] = handwritten(settings, ["store"])
    if "sb3" in only:
        made |= {
            f"Stable-Baselines3, {_count(chains, 'chain')}": sb3(settings, chains)
            for chains in SB3_CHAINS
            if chains >= fewest
        }
    if "rllib" in only:
        made |= {
            f"RLlib, {_count(count, 'environment')}": rllib(settings, count)
            for count in RLLIB_ENVIRONMENTS
            if count >= fewest
        }
    if "hmarl" in only:
        made["hmarl"] = hmarl(settings, ["store"])
    return made


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'s' if number > 1 else ''}"


def handwritten(settings: PPOSettings, learns: Sequence[str]) -> Iterate:
    from benchmarks.handwritten_ppo import HandwrittenPPO
    from hmarl.network import load_network
    from hmarl.policies import make_policy

    network = load_network(NETWORK)
    others = make_policy("base_stock", network) if learns == ["store"] else None
    return HandwrittenPPO(network, settings, learns, others).iterate


def sb3(settings: PPOSettings, chains: int) -> Iterate:
    from benchmarks.rivals import RoleSlots, sb3_ppo
    from hmarl.network import load_network

    network = load_network(NETWORK)
    slots = RoleSlots(network, "store", chains)
    stores = len(network.nodes_of("store"))
    model = sb3_ppo(slots, settings, settings.rollout * stores // slots.num_envs)

    def iterate() -> int:
        before = model.num_timesteps
        model.learn(model.n_steps * slots.num_envs, reset_num_timesteps=False)
        return model.num_timesteps - before

    return iterate


def rllib(settings: PPOSettings, environments: int) -> Iterate:
    from benchmarks.rivals import rllib_ppo
    from hmarl.network import load_network

    return _trains(rllib_ppo(load_network(NETWORK), settings, ["store"], environments))


def hmarl(settings: PPOSettings, learns: Sequence[str]) -> Iterate:
    from hmarl.learning.algorithm import ppo_config
    from hmarl.network import load_network
    from hmarl.policies import make_policy

    network = load_network(NETWORK)
    rule = make_policy("base_stock", network)
    others = {role: rule for role in ("warehouse", "supplier") if role not in learns}
    return _trains(ppo_config(network, settings, learns=learns, others=others, steps=10**9).build_algo())


def _trains(algorithm: Any) -> Iterate:
    """Iterations of an RLlib algorithm."""
    from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_AGENT_STEPS_SAMPLED

    return lambda: int(sum(algorithm.train()[ENV_RUNNER_RESULTS][NUM_AGENT_STEPS_SAMPLED].values()))


def measure(
    title: str,
    settings: PPOSettings,
    turns: Mapping[str, Iterate],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """All contenders, turn about, after an iteration each that does not count.

    Raises
    ------
    AssertionError
        If they do not train on equally many agent-steps.
    """
    steps = {name: iterate() for name, iterate in turns.items()}
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, iterate in turns.items():
            began = clock()
            trained = iterate()
            rates[name].append(trained / (clock() - began))
            assert trained == steps[name]
    assert len(set(steps.values())) == 1, f"{title}: agent-steps an iteration differ: {steps}"
    rows = [
        {
            "contender": name,
            "agent_steps_per_second": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
        }
        for name, values in rates.items()
    ]
    return {
        "table": title,
        "agent_steps": next(iter(steps.values())),
        "minibatch": settings.minibatch,
        "epochs": settings.epochs,
        "rows": rows,
    }


def ratios(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """hmarl against the others of a table: against the best of those that a library has several of."""
    rates = {row["contender"]: row["agent_steps_per_second"] for row in table["rows"]}
    if "hmarl" not in rates:
        return []
    against = {
        "hand-written": ["hand-written"],
        "Stable-Baselines3, best": [name for name in rates if name.startswith("Stable-Baselines3")],
        "RLlib, 16 environments": ["RLlib, 16 environments"],
    }
    found = []
    for name, rows in against.items():
        best = max((rates[row] for row in rows if row in rates), default=None)
        if best is not None:
            found.append({"table": table["table"], "hmarl_against": name, "ratio": rates["hmarl"] / best})
    return found


def run(rounds: int, only: Sequence[str] = RIVALS, batched: bool = False, cpu: bool = False) -> dict[str, Any]:
    """All tables."""
    import torch

    from hmarl.learning.settings import PPOSettings
    from hmarl.session import connect

    torch.set_num_threads(1)
    torch.manual_seed(0)
    clock = time.process_time if cpu else time.perf_counter
    tables, own = [], [name for name in only if name in ("handwritten", "hmarl")]
    with connect():
        for minibatch in (64, 512):
            settings = classic(minibatch)
            tables.append(
                measure(f"minibatch {minibatch}", settings, contenders(settings, only, batched), rounds, clock)
            )
        for title, learns in (("the stores", ["store"]), ("all roles together", ["store", "warehouse", "supplier"])):
            settings = PPOSettings()
            makers = {"handwritten": ("hand-written", handwritten), "hmarl": ("hmarl", hmarl)}
            turns = {makers[key][0]: makers[key][1](settings, learns) for key in own}
            if turns:
                tables.append(measure(f"hmarl's defaults, {title}", settings, turns, rounds, clock))
    return {
        "rounds": rounds,
        "cpu_seconds": cpu,
        "tables": tables,
        "ratios": [ratio for table in tables for ratio in ratios(table)],
    }


def show(result: Mapping[str, Any]) -> None:
    """The tables and ratios."""
    for table in result["tables"]:
        print(f"{table['table'] + ':':36s}{'agent-steps/s':>15s}{'lowest':>12s}{'highest':>12s}")
        for row in table["rows"]:
            rate, lowest, highest = row["agent_steps_per_second"], row["lowest"], row["highest"]
            print(f"  {row['contender']:34s}{rate:15,.0f}{lowest:12,.0f}{highest:12,.0f}")
        print(
            f"  A rollout of {table['agent_steps']:,} agent-steps, {table['epochs']} epochs, minibatches of "
            f"{table['minibatch']:,}.\n"
        )
    for ratio in result["ratios"]:
        print(f"hmarl / {ratio['hmarl_against']}, {ratio['table']}: {ratio['ratio']:.2f}")
    clock = "CPU seconds" if result["cpu_seconds"] else "Seconds"
    print(
        f"{clock}, one torch thread, medians of {result['rounds']} iterations; sampling, learning, metrics included.\n"
        "From minibatches of 1,024 on hmarl works out the critic's gradient on a second thread."
    )


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("training", __doc__)
    parser.add_argument("--quick", action="store_true", help="3 iterations each, no single chains: under a minute")
    parser.add_argument("--cpu", action="store_true", help="seconds of CPU time instead of the clock's")
    parser.add_argument("--only", default=",".join(RIVALS), help=f"some of {','.join(RIVALS)}")
    arguments = parser.parse_args(argv)
    only = chosen(parser, arguments.only, RIVALS)
    one_thread()
    result = run(3 if arguments.quick else ROUNDS, only, batched=arguments.quick, cpu=arguments.cpu)
    show(result)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
