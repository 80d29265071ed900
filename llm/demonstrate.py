"""Write down how a rule decides, with some random orders mixed in: examples to train a model on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command


class DemonstrateSettings(BaseModel):
    """Options of ``python -m llm.demonstrate``."""

    model_config = ConfigDict(extra="forbid")

    network: str = Field("corner_shop", description="a preset's name or a network's YAML file")
    set_: dict[str, Any] = Field({}, description="change of the network, as store.lead_time=3; repeatable")
    role: str | None = Field(None, description="whose decisions: store, warehouse or supplier (default: the stores')")
    policy: str = Field("heuristic", description="rule that decides: heuristic, base_stock, order_up_to:80, ...")
    episodes: int = Field(20, ge=1, le=1_000_000, description="training episodes played")
    random: float = Field(0.3, ge=0, le=1, description="share of the orders that are random instead")
    economics: bool = Field(
        False, description="prompts explain the rules and the money, as a model needs that was not made for this task"
    )
    recommendation: bool = Field(False, description="prompts say what a base-stock rule would order")
    scenarios: list[str] = Field(["normal"], description="scenarios to play, in equal parts")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the paths and of the random orders")
    out: Path = Field(Path("demonstrations.jsonl"), description="file to write, an example a line")


def main(argv: list[str]) -> int:
    """Write the examples and print a summary."""
    settings = command.parse(DemonstrateSettings, argv, "python -m llm.demonstrate", __doc__ or "")
    from hmarl.network import load_network
    from llm.tasks.demonstrations import demonstrate, summary, write_examples
    from llm.tasks.rules import named_policy
    from llm.tasks.supply_chain import SupplyChainTask

    network = load_network(settings.network, **settings.set_)
    task = SupplyChainTask(
        network,
        settings.role,
        scenarios=settings.scenarios,
        economics=settings.economics,
        show_recommendation=settings.recommendation,
    )
    policy = named_policy(network, settings.policy)
    examples = demonstrate(task, policy, settings.episodes, random=settings.random, seed=settings.seed)
    write_examples(settings.out, examples)
    print(summary(examples))
    print(f"written: {settings.out}")
    return 0


if __name__ == "__main__":
    command.run(main)
