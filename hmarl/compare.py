"""Judge policies, or a run's phases, on the same test paths."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command
from hmarl.errors import InputError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from hmarl.learning.run import Run
    from hmarl.network import Network
    from hmarl.policies import Policy
    from hmarl.report import Comparison
    from hmarl.report.real_sales import RealSales
    from hmarl.report.seeds import Seeds

Progress = Callable[[int, int], None]

BASELINE = "s_S"


class CompareSettings(BaseModel):
    """Options of ``python -m hmarl.compare``."""

    model_config = ConfigDict(extra="forbid")

    run: str | None = Field(
        None,
        description="name of a run: compares its phases and rules, writes its report anew; names of several, as a,b,c, "
        "trained alike but for the seed: compares their final policies and says how good the training is over seeds",
    )
    network: str | None = Field(
        None, description="a preset's name or a network's YAML file, without --run (default: two_store)"
    )
    set_: dict[str, Any] = Field({}, description="change of the network, as store.lead_time=3; repeatable")
    policies: list[str] = Field(
        [],
        description="rules (default: the run's, or random,s_S,base_stock,tuned_s_S,tuned_base_stock)",
    )
    baseline: str | None = Field(
        None, description="policy that differences are taken to (default: s_S, or the first policy)"
    )
    scenarios: list[str] = Field(["normal"], description="scenarios to play; all: every one")
    episodes: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="test episodes, the same for every policy; long ones, where fewer than 30, are cut into batches "
        "(default: 200, fewer where they are long); with --precision the most played",
    )
    precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="add episodes until half of the 95 % interval of every policy's mean cost is below this share of "
        "it, as 0.005 (of its reward where nothing costs)",
    )
    days: int | None = Field(None, ge=1, le=1_000_000, description="periods of an episode (default: the network's)")
    warmup: int | None = Field(None, ge=0, description="periods at its start not counted (default: the network's)")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="of the test paths (default: the run's own, or 0)")
    runs: Path = Field(Path("runs"), description="folder of all runs")
    out: Path | None = Field(
        None, description="folder for comparison.json and comparison.png (default: the run's comparison/)"
    )
    json_: bool = Field(False, description="print the comparison as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Print the comparison and write it where asked."""
    settings = command.parse(CompareSettings, argv, "python -m hmarl.compare", __doc__ or "")
    more: dict[str, RealSales | Seeds] = {}  # what is shown below the comparison, by its name in the JSON
    if settings.run is None:
        comparison = compare_rules(settings)
        if settings.out is not None:
            comparison.save(settings.out)
    elif "," in settings.run:
        comparison, more["seeds"] = compare_seeds(settings, settings.run.split(","))
    else:
        comparison, real = compare_run(settings)
        more |= {"real_sales": real} if real is not None else {}
    console = _console()
    console.print(comparison.table(console.width))
    for found in more.values():
        console.print(found.table())
    if settings.json_:
        content = comparison.to_json() | {name: found.to_json() for name, found in more.items()}
        print(json.dumps(content, allow_nan=False))
    return 0


def compare_rules(settings: CompareSettings) -> Comparison:
    """Rules on a network."""
    from hmarl.network import load_network
    from hmarl.policies import POLICIES, make_policy

    network = load_network(settings.network or "two_store", **settings.set_)
    _check(settings, network)
    names = settings.policies or ["random", BASELINE, "base_stock", "tuned_s_S", "tuned_base_stock"]
    if settings.baseline and settings.baseline not in names:
        if settings.baseline not in POLICIES:
            raise unknown("--baseline", settings.baseline, POLICIES)
        names = [settings.baseline, *names]
    with _bar(f"making {len(names)} policies") as progress:
        policies = {}
        for k, name in enumerate(dict.fromkeys(names)):
            progress(k, len(names))
            policies[name] = make_policy(name, network)
    return _compared(settings, network, policies, {}, settings.seed or 0)


def compare_run(settings: CompareSettings) -> tuple[Comparison, RealSales | None]:
    """A run's phases and rules, on the last part of its sales too where it had some.

    Saved, and its report written anew where it goes to its folder.
    """
    from hmarl.files import run_folder
    from hmarl.learning.folder import read_config
    from hmarl.learning.run import Run
    from hmarl.report.real_sales import judge_run
    from hmarl.runs import locked

    folder = run_folder(str(settings.run), settings.runs)
    read_config(folder)
    with locked(folder):
        run = Run(folder)
        if not run.phases:
            raise InputError(f"{folder}: no phase has a policy yet: let hmarl.train finish one")
        rules = _rules(settings, run)
        seed = int(run.config["settings"]["seed"]) if settings.seed is None else settings.seed
        real = judge_run(folder)
        comparison = _compared(settings, run.network, {**rules, **run.phases}, run.phases, seed)
        comparison.save(settings.out or folder / "comparison")
        if settings.out is None and (folder / "policy").is_dir():
            from hmarl.report.html import write_report

            write_report(folder, comparison)
    return comparison, real


def compare_seeds(settings: CompareSettings, names: list[str]) -> tuple[Comparison, Seeds]:
    """The final policies of several runs, and the first one's rules; what they say about the training over seeds.

    Raises
    ------
    InputError
        If the runs differ in more than their seed.
    """
    from hmarl.files import run_folder, write_atomic
    from hmarl.learning.run import Run
    from hmarl.learning.train_settings import differences
    from hmarl.report.seeds import over_seeds
    from hmarl.runs import changes

    runs = {name: Run(run_folder(name, settings.runs)) for name in dict.fromkeys(names)}
    (first, base), *others = runs.items()
    for name, run in others:
        found = changes("network", base.config["network"], run.config["network"])
        if found:
            raise InputError(f"--run: {name}: trained on another network than {first}: {'; '.join(found[:6])}")
        known = {**base.config["settings"], "seed": 0}, {**run.config["settings"], "seed": 0}
        found = differences(*known) or differences(*known[::-1])
        if found:
            raise InputError(f"--run: {name}: trained with other settings than {first}: {'; '.join(found[:6])}")
    rules = _rules(settings, base)
    policies = {**rules, **{name: run.policy for name, run in runs.items()}}
    comparison = _compared(settings, base.network, policies, {}, settings.seed or 0)
    seeds = over_seeds(comparison, list(runs))
    if settings.out is not None:
        comparison.save(settings.out)
        write_atomic(settings.out / "seeds.json", json.dumps(seeds.to_json(), indent=1, allow_nan=False) + "\n")
    return comparison, seeds


def _rules(settings: CompareSettings, run: Run) -> dict[str, Policy]:
    """What a run is compared with: its own rules and the optimum, or those asked for, on the network trained on."""
    from hmarl.learning.job import with_optimum
    from hmarl.policies import POLICIES, make_policy

    if settings.network is not None or settings.set_:
        place = "--network" if settings.network is not None else "--set"
        raise InputError(f"{place}: not with --run: a run is judged on the network it was trained on")
    _check(settings, run.network)
    rules: dict[str, Policy] = dict(run.rules)
    if settings.policies:
        rules = {n: rules[n] if n in rules else make_policy(n, run.network) for n in settings.policies}
    else:
        rules = with_optimum(run.network, rules)
    if settings.baseline and settings.baseline in POLICIES and settings.baseline not in rules:
        rules = {settings.baseline: make_policy(settings.baseline, run.network), **rules}
    return rules


def _check(settings: CompareSettings, network: Network) -> None:
    """Refuse what is wrong before anything takes time."""
    from hmarl.network import apply_scenario
    from hmarl.policies import POLICIES
    from hmarl.report.sampling import make_plan

    make_plan(network, settings.days, settings.warmup, settings.episodes)
    for scenario in settings.scenarios:
        if scenario != "all":
            apply_scenario(network, scenario)
    for name in settings.policies:
        if name not in POLICIES:
            raise unknown("--policies", name, POLICIES)


def _compared(
    settings: CompareSettings,
    network: Network,
    policies: Mapping[str, Policy],
    phases: Mapping[str, Policy],
    seed: int,
) -> Comparison:
    from hmarl.report import compare

    baseline = settings.baseline or (BASELINE if BASELINE in policies else next(iter(policies)))
    order = list(phases)
    with _bar("comparing") as progress:
        return compare(
            network,
            policies,
            baseline=baseline,
            references=[name for name in policies if name.startswith("tuned_") and name != baseline],
            previous=dict(zip(order[1:], order, strict=False)),
            scenarios=_scenarios(settings.scenarios, network),
            replications=settings.episodes,
            days=settings.days,
            warmup=settings.warmup,
            precision=settings.precision,
            seed=seed,
            progress=progress,
        )


def _scenarios(names: list[str], network: Network) -> list[str]:
    from hmarl.network import SCENARIOS

    if "all" not in names:
        return list(dict.fromkeys(names))
    left_out = {"high_demand_weekend"} if network.period == "week" else set()
    for name in left_out:
        print(f"{name}: left out, a network of weeks has no weekdays", file=sys.stderr)
    return [name for name in SCENARIOS if name not in left_out]


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Progress]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not sys.stdout.isatty():
        yield lambda done, total: None
        return
    from rich.progress import Progress as Bar

    with Bar(transient=True) as bar:
        task = bar.add_task(title)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 140))


if __name__ == "__main__":
    command.run(main)
