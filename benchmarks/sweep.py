"""A sweep of 16 short trials: are the processors busy, and what does ending trials early save?

    python -m benchmarks.sweep [--trials 16] [--steps 60000] [--schedulers none,asha,median] [--json]

Each is `python -m tune.sweep hmarl --network two_store --trials 16` with so many agent-steps a phase, from its first to
its last moment: start-up of Python and Ray, rules, trials, report. Idle is the share of the machine's processor seconds
that no process of the sweep used, as /proc tells twice a second, so other work on the machine does not count as the
sweep's own. Steps are those that trials made, of what all would have made to the end. The best is the validation cost
of the trial that won: what ending early may cost.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import chosen, parser_of

SCHEDULERS = ("none", "asha", "median", "pbt")
_TICK = os.sysconf("SC_CLK_TCK")


def measure(scheduler: str, trials: int, steps: int) -> dict[str, Any]:
    """One sweep."""
    with tempfile.TemporaryDirectory() as runs:
        command = [
            sys.executable, "-m", "tune.sweep", "hmarl", "--network", "two_store", "--runs", runs, "--name", "sweep",
            "--trials", str(trials), "--scheduler", scheduler, "--steps", str(steps),
            "--evaluate-every", str(steps // 4),
        ]  # fmt: skip
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        used: dict[int, float] = {}
        while process.poll() is None:
            used |= processor_seconds(process.pid)
            time.sleep(0.5)
        seconds = time.monotonic() - begun
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        rows = list(csv.DictReader((Path(runs) / "sweeps" / "sweep" / "trials.csv").open()))
    made = sum(int(row["steps"]) for row in rows)
    finished = [row for row in rows if row["status"] == "finished"]
    return {
        "scheduler": scheduler,
        "seconds": seconds,
        "idle": 1 - sum(used.values()) / (seconds * len(os.sched_getaffinity(0))),
        "steps": made / (trials * max(int(row["steps"]) for row in rows)),
        "finished": len(finished),
        "best": min(float(row["validation_cost"]) for row in finished),
    }


def processor_seconds(root: int) -> dict[int, float]:
    """Of a process and all below it that live."""
    parents, seconds = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                seconds[int(entry.name)] = (int(fields[11]) + int(fields[12])) / _TICK
    below = {root}
    while grown := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= grown
    return {pid: seconds[pid] for pid in below if pid in seconds}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("sweep", __doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60_000, help="agent-steps of each phase")
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
