"""Search for the settings of a training: python -m tune.sweep hmarl, or llm."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from hmarl import command
from hmarl.errors import InputError, unknown
from tune.settings import HmarlSweep, LlmSweep, Sweep

HALVES: dict[str, type[HmarlSweep] | type[LlmSweep]] = {"hmarl": HmarlSweep, "llm": LlmSweep}
_USAGE = """usage: python -m tune.sweep hmarl|llm [options]

Search for the settings of a training, on Ray Tune.

  hmarl  of PPO and the reward's weights, for the agents of a network
  llm    of GRPO, for a language model

python -m tune.sweep hmarl --help: the options, those of python -m hmarl.train among them."""


def main(argv: list[str]) -> int:
    """The command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in HALVES:
        raise unknown("python -m tune.sweep", argv[0], HALVES)
    sweep = parse(argv[0], argv[1:])
    from tune.job import sweep_from

    best = sweep_from(sweep)
    if sweep.json_:
        found = {"sweep": str(sweep.folder), "trial": best.number, sweep.objective: best.value}
        print(json.dumps({**found, "parameters": best.parameters}, allow_nan=False))
    return 0


def parse(half: str, argv: Sequence[str]) -> Sweep:
    """Settings from a command line; those of a sweep that goes on are as it began.

    Raises
    ------
    InputError
        A setting that is not allowed, no such sweep, or one that began otherwise.
    """
    kind = HALVES[half]

    def parsed(arguments: Sequence[str]) -> Sweep:
        return command.parse(kind, arguments, f"python -m tune.sweep {half}", kind.__doc__ or "")

    sweep = parsed(argv)
    if not sweep.resume:
        return sweep
    from tune.job import refuse_changes, settings_file

    path = settings_file(sweep)
    if not path.exists():
        raise InputError(f"{sweep.folder}: no sweep of {half} to go on with (it has no {path.name})")
    now = parsed(["--config", str(path), *argv])
    refuse_changes(parsed(["--config", str(path)]), now)
    return now


if __name__ == "__main__":
    command.run(main)
