"""What a day does to a supply chain: arrays in, arrays out."""

import hashlib
import os
from pathlib import Path

from numba.core import config


def _cache_compiled_code() -> None:
    """Keep numba's compiled code in a user folder, one for each state of the sources.

    numba itself looks at the file of the outermost function alone and would go on with stale kernels, which find
    their arrays at places of the table (:mod:`hmarl.simulator.memory`) that have moved.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(file for room in ("simulator", "roles", "policies") for file in (package / room).glob("*.py")):
        source = file.read_bytes()
        if b"numba" in source:
            digest.update(source)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hmarl"
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", cache))
    if cache.name != digest.hexdigest():
        os.environ["NUMBA_CACHE_DIR"] = str(cache / digest.hexdigest())
        config.reload_config()  # numba may have been imported before


_cache_compiled_code()

from hmarl.simulator.costs import Costs, day_costs  # noqa: E402
from hmarl.simulator.params import Params, compile_network  # noqa: E402
from hmarl.simulator.rng import SPLITS, Split  # noqa: E402
from hmarl.simulator.simulator import Outcome, Simulator, State  # noqa: E402

__all__ = ["SPLITS", "Costs", "Outcome", "Params", "Simulator", "Split", "State", "compile_network", "day_costs"]
