"""Train a language model to order: python -m llm.train grpo, or sft."""

from __future__ import annotations

import json
import sys

from hmarl import command
from hmarl.errors import unknown
from llm.settings import GRPOSettings, SFTSettings

ALGORITHMS: dict[str, type[SFTSettings] | type[GRPOSettings]] = {"grpo": GRPOSettings, "sft": SFTSettings}
_USAGE = """usage: python -m llm.train grpo|sft [options]

Train a language model to order.

  grpo   by group-relative policy optimisation on the simulator; a built-in model learns from demonstrations first
  sft    on demonstrations: python -m llm.demonstrate writes them

python -m llm.train grpo --help: the options."""


def main(argv: list[str]) -> int:
    """The command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in ALGORITHMS:
        raise unknown("python -m llm.train", argv[0], ALGORITHMS)
    kind = ALGORITHMS[argv[0]]
    settings = command.parse(kind, argv[1:], f"python -m llm.train {argv[0]}", kind.__doc__ or "")
    from llm.job import train_from

    model = train_from(settings)
    if settings.json_:
        from llm.evaluation import Evaluation
        from llm.runs import EVALUATION

        found = Evaluation.load(settings.folder / EVALUATION)
        print(json.dumps({"model": str(model.folder), "evaluation": found.to_json()}, allow_nan=False))
    return 0


if __name__ == "__main__":
    command.run(main)
