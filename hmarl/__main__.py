"""``hmarl COMMAND ...``: the commands under one name (``python -m hmarl.COMMAND`` is the same)."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

from hmarl import __version__, command
from hmarl.errors import unknown

COMMANDS = {
    "train": "train the agents of a network in phases, compare and report",
    "validate": "check a network before training",
    "compare": "judge policies, or a run's phases, on the same test paths",
    "optimum": "the proven optimum of a small network, or a bound on it",
    "order": "what to order today, and why",
    "network": "write a network's configuration from a sales history",
}


def usage() -> str:
    """What ``hmarl --help`` prints."""
    lines = [f"  {name:10}{line}" for name, line in COMMANDS.items()]
    return "\n".join(["usage: hmarl COMMAND [options]", "", *lines, "", "hmarl COMMAND --help tells more."])


def dispatch(argv: list[str]) -> int | None:
    """Run the command that the first argument names."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(__version__)
        return 0
    if argv[0] not in COMMANDS:
        raise unknown("command", argv[0], COMMANDS)
    name = "hmarl.network.__main__" if argv[0] == "network" else f"hmarl.{argv[0]}"
    module = importlib.import_module(name)
    status: int | None = module.main(argv[1:])
    return status


def main() -> NoReturn:
    """The installed command."""
    command.run(dispatch)


if __name__ == "__main__":
    sys.argv[0] = "hmarl"
    main()
