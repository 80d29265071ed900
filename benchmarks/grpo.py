"""Seconds a step of GRPO, and completion tokens a second: ours against TRL that generates with transformers.

    python -m benchmarks.grpo [--sizes 0.5M,15M,85M] [--steps N] [--only generation,steps,death] [--quick] [--json]

Random Qwen3 models in bfloat16, 16 prompts of `corner_shop` answered 4 times each by up to 128 tokens; two cores:

- ours: llm.trainers' GRPO in Ray Train, answers from a pool of vLLM engines (one with two threads), weights published
  to it and proved after each step
- TRL: GRPOTrainer as it comes, which generates with transformers' generate and trains in the same process

Generation: the same prompts to both, turn about; once all answers have 128 tokens, once they end by themselves with
the same probability at every token. Steps: both train all weights, on the same prompts with the same loss, a step
each in turn; checkpoints are left out. Every answer is read as some order, so that the simulator has all its work.
What the shares allow: TRL's step with its generation faster by what generation alone is, the rest unchanged.
Death: two engines of a thread each, one of them killed (SIGKILL) half-way; against what the other needs for the
same answers once more.

Figures are medians over the rounds, after rounds that do not count; engines are warm before the clock starts.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import chosen, parser_of
from llm.tiny import BENCHMARK_SIZES

if TYPE_CHECKING:
    from llm.rollout.engine import Request, Sampling
    from llm.rollout.pool import Pool
    from llm.settings import GRPOSettings

NETWORK = "corner_shop"
GROUPS, ANSWERS = 16, 4
LONGEST, MEAN = 128, 48  # tokens of an answer; the mean is before answers are cut off
STEPS, ROUNDS, DEATHS = 8, 3, 3
TABLES = ("generation", "steps", "death")
DEATH_SIZE = "15M"
OURS, TRL = "ours", "TRL"
PARTS = ("generation", "reward", "training", "publishing")
_OBJECT_STORE = 1024**3  # bytes
Rows = dict[str, list[dict[str, float]]]


def settings_of(path: Path, steps: int) -> GRPOSettings:
    """Of both contenders, with a step before and one after those that count."""
    from benchmarks.grpo_contenders import CORES
    from llm.settings import GRPOSettings

    return GRPOSettings(
        model=str(path),
        use_lora=False,
        bf16=True,
        gradient_checkpointing=False,
        economics=False,
        threads=CORES,
        batch_size=16,
        gradient_accumulation_steps=GROUPS * ANSWERS // 16,
        num_generations=ANSWERS,
        episodes=GROUPS * (steps + 2),
        own_states=0,
        learning_rate=1e-6,  # lengths stay as they are
        max_prompt_length=128,
        max_completion_length=LONGEST,
    )


@contextmanager
def pool_of(path: Path, engines: int, threads: int) -> Iterator[Pool]:
    """Warm engines."""
    from benchmarks.grpo_contenders import DTYPE
    from llm.rollout.engine import EngineSettings
    from llm.rollout.pool import start_pool

    settings = EngineSettings(str(path), dtype=DTYPE, max_model_len=256, warm_tokens=(48, LONGEST))
    name = f"engine-{secrets.token_hex(3)}"
    pool = start_pool(settings, engines=engines, threads=threads, num_cpus=0, name=name)
    try:
        yield pool
    finally:
        pool.close()


def asked(path: Path, ends: bool) -> tuple[list[Request], Sampling]:
    """Prompts of the task, and how they are answered."""
    from transformers import AutoTokenizer

    from llm.chat import prompt_ids, stop_token_ids
    from llm.rollout.engine import Request, Sampling
    from llm.tasks.supply_chain import SupplyChainTask

    tokenizer = AutoTokenizer.from_pretrained(path)
    prompts = SupplyChainTask(NETWORK, economics=False).prompts(GROUPS, 0)
    requests = [Request(tuple(prompt_ids(tokenizer, prompt.messages)), prompt.number, ANSWERS) for prompt in prompts]
    return requests, Sampling(LONGEST, stop_token_ids=stop_token_ids(tokenizer) if ends else ())


def generation(path: Path, pool: Pool, alone: Any, rounds: int) -> list[dict[str, Any]]:
    """Tokens a second of both, for answers of equal and of unequal lengths."""
    import ray

    tables = []
    for ends in (False, True):
        requests, sampling = asked(path, ends)
        repeated = [request.prompt_ids for request in requests for _ in range(request.n)]
        rates: dict[str, list[float]] = {OURS: [], TRL: []}
        lengths: dict[str, list[int]] = {OURS: [], TRL: []}
        for round_ in range(rounds + 1):
            reseeded = [replace(request, seed=round_ * GROUPS + request.seed) for request in requests]
            begun = time.perf_counter()
            replies = pool.generate(reseeded, sampling)
            seconds = time.perf_counter() - begun
            found = {OURS: (seconds, [len(reply.token_ids) for group in replies for reply in group])}
            found[TRL] = ray.get(alone.generate.remote(repeated, LONGEST, ends))
            if round_:
                for name, (seconds, counts) in found.items():
                    rates[name].append(sum(counts) / seconds)
                    lengths[name] += counts
        medians = {name: statistics.median(values) for name, values in rates.items()}
        tables.append(
            {
                "lengths": "unequal" if ends else "equal",
                "tokens_per_second": medians,
                "ratio": medians[OURS] / medians[TRL],
                "tokens": {name: spread(counts) for name, counts in lengths.items()},
            }
        )
    return tables


def spread(lengths: Sequence[int]) -> dict[str, float]:
    """How the lengths of answers are distributed, tokens; and the share of the longest possible.

    >>> spread([128, 1, 2, 3, 4])["median"]
    3
    """
    ordered = sorted(lengths)
    at = {"shortest": 0.0, "tenth": 0.1, "median": 0.5, "nine_tenths": 0.9}
    return {name: ordered[int(share * len(ordered))] for name, share in at.items()} | {
        "mean": statistics.mean(lengths),
        "cut_off": ordered.count(LONGEST) / len(ordered),
    }


def whole_steps(path: Path, pool: Pool, alone: Any, settings: GRPOSettings, folder: Path) -> Rows:
    """Seconds of each step and its parts, by contender; the first and the last left out."""
    import ray

    from benchmarks.grpo_contenders import AnyAnswer, Turns, ours

    turns: Any = ray.remote(num_cpus=0)(Turns).remote([OURS, TRL])
    training = alone.train.remote(TRL, turns)
    ours(settings, AnyAnswer(NETWORK, economics=False), pool, path, folder, OURS, turns)
    ray.get(training)
    rows: Rows = ray.get(turns.rows.remote())
    return {name: steps[1:-1] for name, steps in rows.items()}


def of_steps(rows: Mapping[str, Sequence[Mapping[str, float]]], faster: float) -> dict[str, Any]:
    """The table of whole steps.

    Parameters
    ----------
    rows
        By contender, seconds of each step and of its parts, and completion tokens.
    faster
        How many times as fast our generation alone is.
    """
    table: dict[str, Any] = {}
    for name, steps in rows.items():
        parts = {part: statistics.median(step[part] for step in steps) for part in PARTS if part != "training"}
        step = statistics.median(step["step"] for step in steps)
        parts["training"] = statistics.median(
            step["step"] - sum(step[part] for part in PARTS if part != "training") for step in steps
        )
        table[name] = {
            "seconds": step,
            "tokens_per_second": statistics.median(step["tokens"] / step["step"] for step in steps),
            "parts": {part: parts[part] for part in PARTS},
            "shares": {part: parts[part] / step for part in PARTS},
        }
    share = table[TRL]["shares"]["generation"]
    allowed = 1 / (share / faster + 1 - share)
    reached = table[TRL]["seconds"] / table[OURS]["seconds"]
    return {"contenders": table, "faster": reached, "allowed": allowed, "of_allowed": reached / allowed}


def size_of(name: str, steps: int, rounds: int, only: Sequence[str]) -> dict[str, Any]:
    """Both tables of a model."""
    import ray

    from benchmarks.grpo_contenders import CORES, Alone, AnyAnswer, make_random_model

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model"
        found: dict[str, Any] = {"size": name}
        found["parameters"] = make_random_model(path, BENCHMARK_SIZES[name], MEAN)
        settings = settings_of(path, steps)
        environment = {"env_vars": {"OMP_NUM_THREADS": str(CORES)}}
        begun = time.perf_counter()
        with pool_of(path, 1, CORES) as pool:
            found["start_seconds"] = time.perf_counter() - begun
            alone: Any = ray.remote(num_cpus=0, runtime_env=environment)(Alone).remote(
                path, settings, AnyAnswer(NETWORK, economics=False)
            )
            found["generation"] = generation(path, pool, alone, rounds)
            if "steps" in only:
                rows = whole_steps(path, pool, alone, settings, Path(temporary))
                found["steps"] = of_steps(rows, found["generation"][1]["ratio"])
            ray.kill(alone)
    return found


def deaths(name: str, times: int) -> dict[str, Any]:
    """What the death of one of two engines costs while they generate, seconds."""
    from benchmarks.grpo_contenders import make_random_model

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model"
        make_random_model(path, BENCHMARK_SIZES[name], MEAN)
        requests, sampling = asked(path, ends=False)
        with pool_of(path, 2, 1) as pool:
            usual = statistics.median(_seconds(pool, requests, sampling) for _ in range(times))
            killed = []
            for _ in range(times):
                engine = pool.health()[0]
                assert engine.pulse is not None
                killer = threading.Timer(usual / 2, os.kill, (engine.pulse.pid, signal.SIGKILL))
                killer.start()
                killed.append(_seconds(pool, requests, sampling))
                _wait_for_all(pool)
        with pool_of(path, 1, 1) as pool:
            alone = [_seconds(pool, requests[: len(requests) // 2], sampling) for _ in range(times + 1)][1:]
    return {
        "size": name,
        "without": usual,
        "with": statistics.median(killed),
        "costs": statistics.median(killed) - usual,
        "highest": max(killed) - usual,
        "share_again": statistics.median(alone),
        "deaths": times,
    }


def _seconds(pool: Pool, requests: Sequence[Request], sampling: Sampling) -> float:
    begun = time.perf_counter()
    pool.generate(requests, sampling)
    return time.perf_counter() - begun


def _wait_for_all(pool: Pool) -> None:
    """Until the dead engine is back."""
    while any(engine.pulse is None for engine in pool.health()):
        time.sleep(0.5)


def run(sizes: Sequence[str], steps: int, rounds: int, only: Sequence[str], times: int) -> dict[str, Any]:
    """All tables."""
    from hmarl.session import Need, connect

    result: dict[str, Any] = {"steps": steps, "rounds": rounds}
    with connect(needs=[Need("processes", 4)], object_store=_OBJECT_STORE):
        if {"generation", "steps"} & {*only}:
            result["sizes"] = [size_of(name, steps, rounds, only) for name in sizes]
        if "death" in only:
            result["death"] = deaths(DEATH_SIZE if DEATH_SIZE in sizes else sizes[0], times)
    return result


def show(result: Mapping[str, Any]) -> None:
    """The tables."""
    sizes = result.get("sizes", [])
    if sizes:
        print(
            "Generation alone, tokens/s        ours         TRL   ratio   tokens of an answer: 10 %, median, 90 %, mean"
        )
    for size in sizes:
        for table in size["generation"]:
            rates, tokens = table["tokens_per_second"], table["tokens"][OURS]
            print(
                f"  {size['size']:8s}{table['lengths']:14s}{rates[OURS]:14,.0f}{rates[TRL]:12,.0f}{table['ratio']:8.2f}"
                f"   {tokens['tenth']:.0f}, {tokens['median']:.0f}, {tokens['nine_tenths']:.0f}, {tokens['mean']:.0f}; "
                f"{tokens['cut_off']:.0%} cut off"
            )
        print(f"  {size['size']:8s}engine started and warm after {size['start_seconds']:.1f} s")
    for size in sizes:
        if "steps" in size:
            _show_steps(size["size"], size["steps"])
    if "death" in result:
        death = result["death"]
        print(
            f"\nDeath of one of two engines half-way, {death['size']}: {death['with']:.2f} s instead of "
            f"{death['without']:.2f} s: {death['costs']:.2f} s more (of {death['deaths']} the "
            f"worst: {death['highest']:.2f}); its share once more takes {death['share_again']:.2f} s"
        )


def _show_steps(size: str, table: Mapping[str, Any]) -> None:
    print(f"\nA step, {size}:    seconds   tokens/s" + "".join(f"{part:>18s}" for part in PARTS))
    for name, row in table["contenders"].items():
        parts = "".join(f"{row['parts'][part]:10.3f} ({row['shares'][part]:4.0%})" for part in PARTS)
        print(f"  {name:14s}{row['seconds']:10.2f}{row['tokens_per_second']:11,.0f}{parts}")
    print(
        f"  ours is {table['faster']:.2f} times as fast; its shares allow {table['allowed']:.2f}: "
        f"{table['of_allowed']:.2f} of that"
    )


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("grpo", __doc__)
    parser.add_argument("--sizes", default=",".join(BENCHMARK_SIZES), help=f"some of {','.join(BENCHMARK_SIZES)}")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each contender that count")
    parser.add_argument("--only", default=",".join(TABLES), help=f"some of {','.join(TABLES)}")
    parser.add_argument("--quick", action="store_true", help="the smallest model, 2 steps, one death")
    arguments = parser.parse_args(argv)
    sizes = chosen(parser, arguments.sizes, list(BENCHMARK_SIZES), "--sizes")
    only = chosen(parser, arguments.only, TABLES)
    result = run(sizes[:1], 2, 1, only, 1) if arguments.quick else run(sizes, arguments.steps, ROUNDS, only, DEATHS)
    show(result)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
