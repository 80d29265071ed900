"""Agent-steps a second on one core: hmarl's simulator, a plain Python loop and or-gym.

    python -m benchmarks.simulator [--quick] [--json]

An agent-step is one agent's decision of one day. Every contender draws demand, takes base-stock orders
(computed from its own inventory positions, for hmarl with numpy), plays the day, and makes every agent's
observation and reward. hmarl and the plain loop play the same `two_store`; the plain loop is first checked
against the simulator on the simulator's demand: stock, orders, observations and rewards of 120 days must
agree.

or-gym's InvManagement-v1 is another, simpler chain (four stages in a row, three of them order; Poisson
demand): its row is a measure of scale, not the same work. It asks for gym 0.19, which no longer builds, and
runs with:

    pip install --no-deps or-gym==0.5.0 gym==0.26.2 gym-notices

The contenders take turns within each round; figures are medians over the rounds with the lowest and
highest. A second table tells what takes hmarl's day. The time to hmarl's first day is told apart; with
NUMBA_CACHE_DIR naming an empty folder it is the time to compile.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.command import one_thread, parser_of

REPLICATIONS = (1, 16, 64, 256, 1024)
PARTS = ("orders", "step", "observations", "rewards")
Turn = Callable[[float], float]  # seconds to run for -> agent-steps a second


def base_stock_levels(params: Any) -> Any:
    """``mean x (L + 1) + z sigma sqrt(L + 1)``, whole units, (N, S)."""
    import numpy as np
    from scipy.special import ndtri

    days = params.lead_time[:, None] + 1
    return np.rint(params.mean_demand * days + ndtri(params.target_service) * params.demand_std * np.sqrt(days))


def hmarl_turn(replications: int) -> Turn:
    """A contender; its first day is played, so that it is compiled."""
    import numpy as np

    from hmarl.network import load_network
    from hmarl.roles import Chain

    chain = Chain(load_network("two_store"), replications)
    levels = base_stock_levels(chain.simulator.params)
    agents = sum(len(role.agents) for role in chain.roles.values())

    def day() -> None:
        chain.step(np.maximum(levels - chain.simulator.inventory_position(), 0.0))
        for role in chain.roles:
            chain.observe(role)
            chain.rewards(role)

    day()
    at_once = max(1, 2000 // replications)
    return lambda seconds: _rate(day, seconds, at_once) * replications * agents


def parts_of_a_day(replications: int, seconds: float) -> dict[str, float]:
    """Microseconds of a day by part, each the least of five turns; they add up to the day."""
    import numpy as np

    from hmarl.network import load_network
    from hmarl.roles import Chain

    chain = Chain(load_network("two_store"), replications)
    levels = base_stock_levels(chain.simulator.params)

    def orders() -> Any:
        return np.maximum(levels - chain.simulator.inventory_position(), 0.0)

    calls: dict[str, Callable[[], Any]] = {
        "orders": orders,
        "step": lambda: chain.step(orders()),
        "observations": lambda: [chain.observe(role) for role in chain.roles],
        "rewards": lambda: [chain.rewards(role) for role in chain.roles],
    }
    at_once = max(1, 1000 // replications)
    took = {name: 1e6 / max(_rate(call, seconds / 20, at_once) for _ in range(5)) for name, call in calls.items()}
    took["step"] -= took["orders"]
    return took


def plain_turn() -> Turn:
    """A contender: the plain loop."""
    from benchmarks.plain_loop import PlainLoop
    from hmarl.network import load_network
    from hmarl.simulator import compile_network

    network = load_network("two_store")
    levels = dict(zip(network.node_names, base_stock_levels(compile_network(network))[:, 0].tolist(), strict=True))
    loop = PlainLoop(network)

    def day() -> None:
        loop.step({name: max(0.0, level - loop.position(name)) for name, level in levels.items()})

    return lambda seconds: _rate(day, seconds, 100) * len(levels)


def or_gym_turn() -> Turn | None:
    """A contender, or none where or-gym is not installed."""
    if importlib.util.find_spec("or_gym") is None:
        return None
    import numpy as np

    vars(np)["Inf"] = np.inf  # or-gym 0.5.0 was written for numpy 1
    with contextlib.redirect_stderr(io.StringIO()):  # gym's notice that it is not maintained
        import or_gym

        environment = or_gym.make("InvManagement-v1").unwrapped
    stages = environment.num_stages - 1
    days = environment.lead_time + 1
    levels = np.cumsum(np.rint(20 * days + 1.644854 * np.sqrt(20 * days)))
    environment.reset()

    def day() -> None:
        position = np.cumsum(environment.I[environment.period] + environment.T[environment.period])
        done = environment.step(np.maximum(levels - position, 0))[2]
        if done:
            environment.reset()

    return lambda seconds: _rate(day, seconds, 100) * stages


def _rate(day: Callable[[], None], seconds: float, at_once: int) -> float:
    """Days a second."""
    played, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        for _ in range(at_once):
            day()
        played += at_once
    return played / elapsed


def check_plain_loop(days: int = 120) -> None:
    """The plain loop and the simulator agree on the simulator's demand; otherwise AssertionError."""
    import numpy as np

    from benchmarks.plain_loop import PlainLoop
    from hmarl.network import load_network
    from hmarl.roles import Chain

    network = load_network("two_store", opening_stock=150)
    names = network.node_names
    chain = Chain(network)
    demand: dict[str, float] = {}
    loop = PlainLoop(network, draw=lambda day, store: demand[store])
    levels = 0.8 * base_stock_levels(chain.simulator.params)  # low, so that shortages occur and are shared
    for day in range(days):
        orders = np.maximum(levels - chain.simulator.inventory_position(), 0.0)
        outcome = chain.step(orders)
        demand.update(zip(names, outcome.demand[0, :, 0].tolist(), strict=True))
        positions = [loop.position(name) for name in names]
        own = {name: max(0.0, levels[n, 0] - positions[n]) for n, name in enumerate(names)}
        observations, rewards = loop.step(own)
        stock = [loop.agents[name]["stock"] for name in names]
        where = f"day {day}"
        np.testing.assert_array_equal([own[name] for name in names], orders[0, :, 0], where)
        np.testing.assert_array_equal(stock, chain.simulator.state.on_hand[0, :, 0], where)
        for role, agents in chain.roles.items():
            mine = [observations[names[n]] for n in agents.nodes]
            np.testing.assert_allclose(mine, chain.observe(role)[0], 1e-5, 1e-6, err_msg=f"{where} {role}")
            paid = [rewards[names[n]] for n in agents.nodes]
            np.testing.assert_allclose(paid, chain.rewards(role)[0], 1e-9, 1e-9, err_msg=f"{where} {role}")


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """All contenders, turn about: agent-steps a second, and the time to the first day of the first one."""
    began = time.perf_counter()
    turns = {f"hmarl, {REPLICATIONS[0]} replication": hmarl_turn(REPLICATIONS[0])}
    to_first_day = time.perf_counter() - began
    check_plain_loop()
    for replications in REPLICATIONS[1:]:
        turns[f"hmarl, {replications} replications"] = hmarl_turn(replications)
    turns["plain Python loop, a dict an agent"] = plain_turn()
    or_gym = or_gym_turn()
    if or_gym is not None:
        turns["or-gym InvManagement-v1"] = or_gym
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for turn in turns.values():
        turn(0.05)
    for _ in range(rounds):
        for name, turn in turns.items():
            rates[name].append(turn(seconds))
    plain = statistics.median(rates["plain Python loop, a dict an agent"])
    rows = [
        {
            "contender": name,
            "agent_steps_per_second": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
            "times_plain_loop": statistics.median(values) / plain,
        }
        for name, values in rates.items()
    ]
    if or_gym is None:
        rows.append({"contender": "or-gym InvManagement-v1", "agent_steps_per_second": None})
    parts = {str(replications): parts_of_a_day(replications, seconds) for replications in (1, 1024)}
    return {
        "seconds_to_first_day": to_first_day,
        "rounds": rounds,
        "turn_seconds": seconds,
        "rows": rows,
        "microseconds_of_a_day": parts,
    }


def show(result: dict[str, Any]) -> None:
    """The table."""
    print(f"{'':36s}{'agent-steps/s':>15s}{'lowest':>14s}{'highest':>14s}{'x plain':>10s}")
    for row in result["rows"]:
        if row["agent_steps_per_second"] is None:
            print(f"{row['contender']:36s}  not installed; see `pydoc benchmarks.simulator`")
        else:
            rate, lowest, highest = row["agent_steps_per_second"], row["lowest"], row["highest"]
            print(f"{row['contender']:36s}{rate:15,.0f}{lowest:14,.0f}{highest:14,.0f}{row['times_plain_loop']:10.1f}")
    print(f"\n{'microseconds of a day':36s}" + "".join(f"{part:>14s}" for part in PARTS))
    for replications, took in result["microseconds_of_a_day"].items():
        name = f"hmarl, {replications} replication{'s' * (replications != '1')}"
        print(f"{name:36s}" + "".join(f"{took[part]:14.1f}" for part in PARTS))
    print(
        f"\nMedians of {result['rounds']} turns of {result['turn_seconds']} s on one core; drawing, base-stock "
        f"orders, observations and rewards included.\nhmarl's first day took "
        f"{result['seconds_to_first_day']:.1f} s, apart: importing, and compiling or reading the cache."
    )


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("simulator", __doc__)
    parser.add_argument("--quick", action="store_true", help="3 short turns each, under a minute in all")
    arguments = parser.parse_args(argv)
    one_thread()
    result = measure(*((0.3, 3) if arguments.quick else (2.0, 7)))
    show(result)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
