"""A language model's run in a planner's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hmarl.report.metrics import decimals, number
from hmarl.report.statistics import Estimate
from llm.evaluation import Evaluation
from llm.report.table import PROFIT, share
from llm.runs import SELF

if TYPE_CHECKING:
    from llm.tasks.supply_chain import SupplyChainTask

PARTS = {
    "reward_seconds": "reward",
    "publish_seconds": "publishing",
    "generation_seconds": "generation",
    "training_seconds": "training",
    "step_seconds": "all",
}
"""Columns of metrics.jsonl: what a step's time goes to, seconds."""


def findings(e: Evaluation) -> list[str]:
    """How far the model is ahead of each other policy, a phrase each.

    ``more than heuristic: +2,045 an episode (95 % interval +1,990 to +2,100); it earns 1,671 itself``
    """
    phrases = []
    for name, row in e.rows.items():
        if row.ahead is None:
            continue
        digits = decimals(PROFIT, [row.ahead])
        mean, low, high = (number(PROFIT, value, digits, signed=True) for value in row.ahead[:3])
        words = {1: f"more than {name}", -1: f"less than {name}"}.get(row.ahead.verdict)
        words = words or f"as much as {name}, as far as can be told from chance"
        own = ", and its orders follow the answer in the reward of the training" if name == e.continuation else ""
        phrases.append(
            f"{words}: {mean} an episode (95\N{NO-BREAK SPACE}% interval {low} to {high}); "
            f"{name} earns {amount(row.profit)} itself{own}"
        )
    return phrases


def against_bound(e: Evaluation) -> str:
    """How near the model is to what foresight would earn."""
    if e.bound is None:
        return ""
    model = e.rows[e.model].profit
    share_of_it = f"the model earns {100 * model.mean / e.bound.mean:.0f}\N{NO-BREAK SPACE}% of that"
    earned = share_of_it if model.mean > 0 < e.bound.mean else "the model is far from that"
    return (
        f"Whoever knew all demand beforehand could earn at most {amount(e.bound)} an episode (a linear programme a "
        f"path); {earned}. No policy that does not know the future can get there."
    )


def amount(e: Estimate) -> str:
    """``3,616 ±12``."""
    digits = decimals(PROFIT, [e])
    return f"{number(PROFIT, e.mean, digits)} ±{number(PROFIT, e.half, digits)}"


def training(settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], task: SupplyChainTask) -> list[str]:
    """What was done to the model, in sentences."""
    weights = f"adapters (LoRA) of rank {settings['lora_r']}" if settings["use_lora"] else "all its weights"
    steps = int(rows[-1]["steps"]) if rows else 0
    sentences = [f"The model is {settings['model']}; {weights} were trained."]
    alone = "num_generations" not in settings
    if alone or settings["demonstrations"]:
        shown = settings.get("data") or f"{settings['demonstrations']:,} episodes of the heuristic"
        sentences.append(f"It {'' if alone else 'first '}learned from {shown} (supervised fine-tuning).")
    if alone:
        return sentences
    rule = "the model itself" if settings["continuation"] == SELF else task.continuation_name
    groups = settings["batch_size"] * settings["gradient_accumulation_steps"] * settings["workers"]
    groups //= settings["num_generations"]
    sentences += [
        f"{'Then it' if settings['demonstrations'] else 'It'} answered {groups:,} questions a step, each "
        f"{settings['num_generations']} times, for {steps:,} steps "
        "(group-relative policy optimisation), and learned to prefer the better answers of each group.",
        f"An answer is worth what its order earns more than the order of {rule} would have earned in the same state, "
        f"mean over {task.rollout.futures} demand paths of {task.rollout.days} days; {rule} decides what follows in "
        "both cases.",
    ]
    if settings["continuation"] != SELF:
        sentences.append(
            "So the reward holds what that rule knows: the training is an approximate rollout over it, "
            "and what the rule earns by itself stands in the table below."
        )
    sentences += [_copied(row) for row in rows if "imitation" in row][-1:]
    validated = [row for row in rows if "best_step" in row]
    if validated:
        sentences.append(
            f"It has the weights of step {validated[-1]['best_step']:,}: of {len(validated)} validations that one "
            "earned most."
        )
    return sentences


def _copied(row: Mapping[str, Any]) -> str:
    """What the copy of the model was worth that went on after its answers."""
    return (
        "What decides is a small network that was fitted to the model's own decisions again and again: no rule is in "
        f"the reward. The last, of step {row['steps']:,}, took {share(row['imitation'])} of them alike and earned "
        f"{number(PROFIT, row['continuation_profit'], 0)} an episode by itself on validation paths."
    )


def times(rows: Sequence[Mapping[str, Any]]) -> str:
    """How a step's time is spent, from the second step on."""
    rows = [row for row in rows[1:] if "generation_seconds" in row]
    if not rows:
        return ""
    sums = {name: sum(row[key] for row in rows) for key, name in PARTS.items()}
    total = sums.pop("all")
    listed = ", ".join(f"{name} {share(value / total)}" for name, value in sums.items())
    return f"A step took {total / len(rows):.2f} seconds on average: {listed}."
