"""What a submitted job takes longer than the same command run here, and what the loss of a node costs.

    python -m benchmarks.jobs [--only submitted,lost] [--turns 3] [--json]

submitted: `ray job submit --working-dir . -- python -m hmarl.train ...` on a cluster of this machine that asks for a
token, and the same command with a Ray of its own, in turn; seconds from the first to the last moment, medians. The
cluster's start does not count. lost: a node with half of the runners is killed (SIGKILL to all of it) while agents
train; agent-steps that were sampled and lost, and the seconds until the others sample as fast as they can, and until
a node that is added does. For language models and sweeps the tests kill the same way (tests/llm/test_train.py,
tests/cluster/test_nodes.py).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import chosen, parser_of
from cluster.local import PROJECT, LocalCluster, local_cluster
from hmarl.runs import read_rows

PARTS = ("submitted", "lost")
_SHORT = (
    "--network", "two_store", "--phases", "phase1_stores", "--rules", "base_stock", "--acting-rule", "base_stock",
    "--evaluation-episodes", "4", "--compare-episodes", "4",
)  # fmt: skip


def submitted(cluster: LocalCluster, turns: int, folder: Path) -> dict[str, float]:
    """Seconds of both, and the difference."""
    seconds: dict[str, list[float]] = {"local": [], "submitted": []}
    for turn in range(turns):
        asked = ("hmarl.train", *_SHORT, "--steps", "200000", "--runs", str(folder))
        local = [sys.executable, "-m", *asked, "--name", f"local-{turn}"]
        job = cluster.submission(f"job-{turn}", "python", "-m", *asked, "--name", f"job-{turn}")
        for name, command in (("local", local), ("submitted", job)):
            begun = time.monotonic()
            environment = cluster.environment if name == "submitted" else None
            subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)
            seconds[name].append(time.monotonic() - begun)
    found = {name: statistics.median(values) for name, values in seconds.items()}
    return {**found, "overhead": found["submitted"] - found["local"]}


def lost(cluster: LocalCluster, folder: Path) -> dict[str, float]:
    """Of one of two nodes with a runner each."""
    metrics = folder / "lost" / "phase1_stores" / "metrics.jsonl"
    asked = ("--runs", str(folder), "--name", "lost", "--runners", "2", "--steps", "1000000000")
    command = [sys.executable, "-m", "hmarl.train", *_SHORT, *asked, "--address", cluster.address]

    def last() -> dict[str, Any]:
        rows = read_rows(metrics)
        return rows[-1] if len(rows) > 30 else {"steps": 0, "runners": 2}

    with cluster.running(command) as until:
        before = until(lambda: last()["steps"] and last())
        begun = time.monotonic()
        cluster.nodes[-1].kill()
        until(lambda: last()["runners"] == 1)
        alone = until(lambda: last()["steps_per_second"] > before["steps_per_second"] / 4 and time.monotonic()) - begun
        cluster.add(1)
        begun = time.monotonic()
        until(lambda: last()["runners"] == 2)
        both = time.monotonic() - begun
    steps = [row["steps"] for row in read_rows(metrics)]
    again = len(steps) - len({*steps})
    return {"rows_done_again": again, "seconds_until_the_other_samples": alone, "seconds_until_the_added_samples": both}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = parser_of("jobs", __doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args(argv)
    parts = chosen(parser, arguments.only, PARTS, "--only")
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as runs, local_cluster((1, 1)) as cluster:
        if "submitted" in parts:
            found["submitted"] = submitted(cluster, arguments.turns, Path(runs))
        if "lost" in parts:
            found["lost"] = lost(cluster, Path(runs))
    for part, figures in found.items():
        print(f"{part}: " + ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in figures.items()))
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
