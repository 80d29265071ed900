"""Train the agents of a network in phases, compare them with rules, write the report.

``python -m hmarl.train --network two_store --name first``; from Python ``hmarl.train("two_store", name="first")``:
this module is the command and, called, :func:`hmarl.learning.run.train`.
"""

from __future__ import annotations

import json
import sys
import types
from typing import TYPE_CHECKING, Any

from hmarl import command
from hmarl.errors import InputError
from hmarl.learning.train_settings import TrainSettings

if TYPE_CHECKING:
    from hmarl.learning.run import Run


def main(argv: list[str]) -> int | None:
    """The command."""
    settings = command.parse(TrainSettings, argv, "python -m hmarl.train", (__doc__ or "").split("\n")[0])
    from hmarl.learning.run import train_from

    run = train_from(settings)
    print(f"report: {run.report}")
    if settings.json_:
        print(json.dumps(summary(run), allow_nan=False))
    return 0


def summary(run: Run) -> dict[str, Any]:
    """What ``--json`` prints: where the run is, how each phase went, the comparison, the gap to the optimum."""
    return {
        "run": str(run.folder),
        "report": str(run.report),
        "policy": str(run.folder / "policy"),
        "phases": {name: run.metrics(name)[-1] for name in run.phases},
        "comparison": run.comparison.to_json(),
        "optimum": _gap(run),
    }


def _gap(run: Run) -> dict[str, float] | None:
    from hmarl.exact.gap import gap

    try:
        found = gap(run.network, run.policy)
    except InputError:
        return None
    return None if found is None else found.to_json()


class _Callable(types.ModuleType):
    """The module, which may be called: ``hmarl.train(...)`` for Python beside ``python -m hmarl.train``."""

    def __call__(self, *arguments: Any, **settings: Any) -> Run:
        from hmarl.learning.run import train

        return train(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    command.run(main)
