"""What a day does to a supply chain: arrays in, arrays out."""

from hmarl.simulator.compiled import keep_compiled_code

keep_compiled_code()

from hmarl.simulator.costs import Costs, day_costs  # noqa: E402
from hmarl.simulator.params import Params, compile_network  # noqa: E402
from hmarl.simulator.rng import SPLITS, Split  # noqa: E402
from hmarl.simulator.simulator import Outcome, Simulator, State  # noqa: E402

__all__ = ["SPLITS", "Costs", "Outcome", "Params", "Simulator", "Split", "State", "compile_network", "day_costs"]
