"""One decision of a language model: the prompt, its reasoning, its order, and what that was worth."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command

if TYPE_CHECKING:
    from rich.console import Console

    from llm.worth import Worth

_FUTURES = 100


class AskSettings(BaseModel):
    """Options of ``python -m llm.ask``."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="folder of a model (runs/NAME/final), a built-in one, or a Hugging Face name")
    network: str | None = Field(
        None, description="a preset's name or a network's YAML file (default: the run's, or corner_shop)"
    )
    set_: dict[str, Any] = Field({}, description="change of the network, as store.lead_time=3; repeatable")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the state that is drawn")
    temperature: float = Field(0.0, ge=0, le=5, description="of sampling; 0: the likeliest answer")
    futures: int = Field(_FUTURES, ge=1, le=255, description="demand paths that orders are judged on")
    compare: list[str] = Field(["heuristic", "base_stock"], description="rules asked in the same state")
    max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="longest answer, reasoning included (default: the run's, or 512)"
    )
    json_: bool = Field(False, description="print all of it as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Print the decision."""
    settings = command.parse(AskSettings, argv, "python -m llm.ask", __doc__ or "")
    from llm.runs import make_task, network_for, run_of, task_settings
    from llm.trained import TrainedModel
    from llm.worth import judge_answer

    model = TrainedModel(settings.model)
    run = run_of(settings.model)
    asked = {**task_settings(run, settings.model), "futures": settings.futures}
    task = make_task(network_for(run, settings.network, settings.set_), asked)
    (prompt,) = task.prompts(1, settings.seed)
    text = model.generate(
        prompt.messages,
        max_new_tokens=settings.max_tokens or asked["max_completion_length"],
        temperature=settings.temperature,
        seed=settings.seed,
    )
    found = judge_answer(task, prompt, text, settings.compare)
    _print(found)
    if settings.json_:
        print(json.dumps(found.to_json(), allow_nan=False))
    return 0


def _print(found: Worth) -> None:
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    _section(console, "Prompt", "\n".join(message["content"] for message in found.prompt.messages))
    if found.reasoning:
        _section(console, "Reasoning", found.reasoning)
    _section(console, "Answer", found.answer or found.text)
    _section(console, "Order", _verdict(found))
    console.print(_table(found))


def _section(console: Console, title: str, text: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(title, style="bold"))
    console.print(Padding(Text(text), (0, 0, 1, 2), expand=False))


def _verdict(found: Worth) -> str:
    """The order read and what it was worth, in a sentence or two."""
    best = f"best of those tried: {found.best:g} ({_money(found.gains[found.best])})"
    if found.order is None or found.gain is None:
        return f"none, the answer cannot be read: {found.error}\n{best}"
    own = found.rules[found.continuation]
    return (
        f"{found.order:g} units, worth {_money(found.gain)} against the {own:g} of {found.continuation}, which orders "
        f"from the next day on; {found.days} days, mean of {found.futures} demand paths\n{best}"
    )


def _table(found: Worth) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="What each order would have been worth", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("order", "gain"):
        table.add_column(column, justify="right")
    table.add_column("")
    table.add_column("")
    widest = max(abs(gain) for gain in found.gains.values()) or 1.0
    for order, gain in found.gains.items():
        who = ["the model"] if order == found.order else []
        who += [name for name, its in found.rules.items() if its == order]
        who += ["best"] if order == found.best else []
        bar = Text("█" * round(20 * abs(gain) / widest), style="green" if gain > 0 else "red")
        style = "bold" if order == found.order else ""
        table.add_row(f"{order:g}", _money(gain), bar, Text(", ".join(who)), style=style)
    return table


def _money(value: float) -> str:
    return f"{round(value, 1) + 0.0:+,.1f}".replace("-", "\N{MINUS SIGN}")


if __name__ == "__main__":
    command.run(main)
