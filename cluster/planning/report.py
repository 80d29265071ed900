"""A plan on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cluster.planning.memory import CONTEXT, FRAGMENTED
from cluster.planning.plan import Plan, gib
from cluster.planning.planner import MOST_NODES
from cluster.planning.seconds import ASSUMPTIONS, published

if TYPE_CHECKING:
    from rich.table import Table

_WORDS = {
    "parameters": "parameters (its part)",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "gathered": "a layer gathered from the others",
    "all_gather": "all-gather, weights on their way",
    "activations": "activations",
    "temporary": "temporary, of the backward pass",
}


def tables(plan: Plan) -> Iterator[tuple[str, Table]]:
    """Parameters, memory, engines and, where it fits, a step, each with its title."""
    yield _parameters(plan)
    yield _memory(plan)
    yield _engines(plan)
    if plan.step:
        yield _step(plan)


def lines(plan: Plan) -> Iterator[str]:
    """Where it runs or what would help, and what is assumed."""
    asked = plan.question
    there = f"{asked.nodes} x {asked.gpus_per_node} {asked.gpu}"
    if plan.placement:
        yield f"It fits on {there}:"
        for node in range(asked.nodes):
            roles: list[str] = [bundle.role for bundle in plan.placement.bundles if bundle.node == node]
            yield f"  node {node + 1}: {_count(roles.count('trainer'), 'trainer')}, {_engines_of(plan, roles)}"
    else:
        yield f"It does not fit on {there}."
        yield from (f"  {reason}" for reason in plan.reasons)
        if plan.help:
            yield "What would help, each alone:"
        for entry in plan.help:
            verdict = "fits" if entry.fits else "does not fit"
            yield f"  {entry.change}: {verdict}, a worker's GPU needs {gib(entry.needed)}"
    yield _smallest(plan)
    yield "Assumed:"
    yield (
        f"  beside what is measured a worker needs {gib(CONTEXT)} for CUDA and NCCL, {FRAGMENTED:.0%} for "
        "fragmentation, and a layer gathered ahead"
    )
    yield from (f"  {assumption}" for assumption in ASSUMPTIONS)


def _smallest(plan: Plan) -> str:
    found, asked = plan.smallest, plan.question
    if found is None:
        return f"Not even {MOST_NODES} nodes of {asked.gpus_per_node} {asked.gpu} are enough."
    nodes = 1 + max(bundle.node for bundle in found.bundles)
    used = found.workers + found.engine.tensor_parallel
    return (
        f"Smallest that fits: {_count(nodes, 'node')} of {asked.gpus_per_node} {asked.gpu}, of which {used} GPUs: "
        f"{_count(found.workers, 'trainer')}, one engine on {_count(found.engine.tensor_parallel, 'GPU')}."
    )


def _engines_of(plan: Plan, roles: Sequence[str]) -> str:
    assert plan.placement
    size = plan.placement.engine.tensor_parallel
    return f"{_count(roles.count('engine'), 'engine')} of {_count(size, 'GPU')}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    return table


def _parameters(plan: Plan) -> tuple[str, Table]:
    model = plan.model
    table = _table("part", "parameters", "in bf16")
    for part, size in model.parts.items():
        table.add_row(part, f"{size:,}", gib(2 * size))
    table.add_section()
    table.add_row("model", f"{model.base:,}", gib(2 * model.base))
    table.add_row("used by a token", f"{model.active + model.head:,.0f}", "")
    return f"{plan.question.model}: parameters", table


def _memory(plan: Plan) -> tuple[str, Table]:
    asked, peak = plan.question, plan.peak
    kept = "activations computed again" if asked.gradient_checkpointing else "activations kept"
    title = f"Memory of a GPU at its worst moment, {_count(plan.workers, 'trainer')}"
    table = _table("", "GiB")
    for name, words in _WORDS.items():
        table.add_row(words, _gib(getattr(peak, name)))
    table.add_section()
    table.add_row("total, as measured", _gib(peak.total))
    table.add_row("with the reserve", _gib(plan.needed))
    table.add_row(f"a GPU has ({asked.gpu})", _gib(plan.gpu.memory))
    return f"{title}, {asked.batch_size} x {asked.tokens:,} tokens each, {kept}", table


def _engines(plan: Plan) -> tuple[str, Table]:
    shipped = "as shipped (experts in MXFP4)" if plan.model.mxfp4 and plan.question.adapters else "bfloat16"
    table = _table("GPUs", "weights, GiB", "room, GiB", f"sequences of {plan.question.tokens:,} tokens")
    for engine in plan.engines:
        chosen = plan.placement is not None and plan.placement.engine == engine
        table.add_row(
            f"{engine.tensor_parallel}{' (chosen)' if chosen else ''}",
            _gib(engine.weights),
            _gib(engine.room),
            f"{engine.sequences:,}",
        )
    return f"Engines, each GPU: weights {shipped}, room for keys and values", table


def _step(plan: Plan) -> tuple[str, Table]:
    assert plan.step
    assert plan.placement
    step, asked = plan.step, plan.question
    rows = step.passes * asked.batch_size * plan.workers
    table = _table("", "seconds", "")
    table.columns[2].justify = "left"
    engines = f"{_count(plan.placement.engines, 'engine')}, up to {plan.placement.engine.at_once} answers at once each"
    table.add_row("generation", _seconds(step.generation), engines)
    computing, gathering = f"computing {_seconds(step.compute)}", f"gathering {step.gathered / 1e9:,.0f} GB"
    work = f"{step.passes} x (forward and backward): {computing}, {gathering} {_seconds(step.gather)}, at the same time"
    table.add_row("training", _seconds(step.training), work)
    sent, full = published(plan.model, asked.adapters), published(plan.model, adapters=False)
    kind = "adapter" if asked.adapters else "all weights"
    table.add_row(
        "publishing", _seconds(step.publishing), f"{kind}: {sent / 1e6:,.1f} MB; the model: {full / 1e9:,.1f} GB"
    )
    table.add_section()
    table.add_row("step", _seconds(step.seconds), "")
    return f"A step of {rows:,} answers, estimated", table


def _gib(size: float) -> str:
    return f"{size / 2**30:,.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f}" if seconds >= 1 else f"{seconds:.2g}"
