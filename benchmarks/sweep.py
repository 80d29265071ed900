"""A sweep of 16 short trials: are the processors busy, and what does ending trials early save?

    python -m benchmarks.sweep [--trials 16] [--steps 30000] [--schedulers none,asha,median] [--json]

Each is `python -m tune.sweep hmarl --network two_store --trials 16`, so many agent-steps a phase and small rollouts,
from its first to its last moment: start-up of Python and Ray, rules, trials, report. Idle is the mean share of the
processors for which no thread of the sweep was ready to run, looked at four times a second: other work on the machine
does not change it. Steps are those that trials made, of what all would have made to the end. The best is the validation
cost of the trial that won: what ending early may cost.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import chosen, parser_of

SCHEDULERS = ("none", "asha", "median", "pbt")


def measure(scheduler: str, trials: int, steps: int) -> dict[str, Any]:
    """One sweep."""
    with tempfile.TemporaryDirectory() as runs:
        command = [
            sys.executable, "-m", "tune.sweep", "hmarl", "--network", "two_store", "--runs", runs, "--name", "sweep",
            "--trials", str(trials), "--scheduler", scheduler, "--steps", str(steps),
            "--evaluate-every", str(steps // 4), "--ppo-set", "replications=16", "--ppo-set", "minibatch=512",
        ]  # fmt: skip
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        processors, idle = len(os.sched_getaffinity(0)), []
        while process.poll() is None:
            idle.append(max(0, processors - ready(process.pid)) / processors)
            time.sleep(0.25)
        seconds = time.monotonic() - begun
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        rows = list(csv.DictReader((Path(runs) / "sweeps" / "sweep" / "trials.csv").open()))
    made = sum(int(row["steps"]) for row in rows)
    finished = [row for row in rows if row["status"] == "finished"]
    return {
        "scheduler": scheduler,
        "seconds": seconds,
        "idle": statistics.mean(idle),
        "steps": made / (trials * max(int(row["steps"]) for row in rows)),
        "finished": len(finished),
        "best": min(float(row["validation_cost"]) for row in finished),
    }


def ready(root: int) -> int:
    """Threads that run or could, of a process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parents[int(entry.name)] = int(_fields(entry)[1])
    below = {root}
    while grown := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= grown
    count = 0
    for pid in below:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            count += sum(_fields(task)[0] == "R" for task in Path(f"/proc/{pid}/task").iterdir())
    return count


def _fields(entry: Path) -> list[str]:
    """Of a process or thread: state, parent and so on."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("sweep", __doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30_000, help="agent-steps of each phase")
    parser.add_argument("--schedulers", default="none,asha", help=f"some of {','.join(SCHEDULERS)}")
    arguments = parser.parse_args(argv)
    names = chosen(parser, arguments.schedulers, SCHEDULERS, "--schedulers")
    rows = []
    print(f"{'scheduler':12s}{'seconds':>9s}{'idle':>8s}{'steps':>8s}{'finished':>10s}{'best':>10s}")
    for name in names:
        row = measure(name, arguments.trials, arguments.steps)
        rows.append(row)
        print(
            f"{name:12s}{row['seconds']:9.0f}{row['idle']:8.1%}{row['steps']:8.1%}{row['finished']:10d}{row['best']:10.2f}",
            flush=True,
        )
    if arguments.json:
        print(json.dumps({"processors": len(os.sched_getaffinity(0)), "rows": rows}))


if __name__ == "__main__":
    main(sys.argv[1:])
