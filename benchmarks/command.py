"""What the benchmarks' command lines share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring; it has ``--json``."""
    summary, _, details = (doc or "").partition("\n")
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.{name}",
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    return parser


def chosen(parser: argparse.ArgumentParser, only: str, names: Sequence[str], option: str = "--only") -> list[str]:
    """The names of an option, split at commas; ends with status 2 at one that is none of `names`."""
    wanted = only.split(",")
    for name in wanted:
        if name not in names:
            parser.error(f"{option}: {name!r}: some of {', '.join(names)}")
    return wanted


def one_thread() -> None:
    """Numerical libraries imported from here on compute on one thread."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[threads] = "1"
