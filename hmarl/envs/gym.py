"""One shop, one article, 29 orders: ``gymnasium.make("hmarl/CornerShop-v0")`` after ``import hmarl.envs``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from hmarl.envs.text import day_text
from hmarl.network.presets import load_network
from hmarl.simulator import Simulator, Split, day_costs

LARGEST_ORDER = 100
LARGEST_DEMAND = 35


class CornerShop(gymnasium.Env[np.ndarray, int]):
    """A shop that opens with 50 units on day 1 and orders on days 2 to 30 what arrives three days later.

    An action is the units to order, 0 to 100. A decision sees the evening before, five numbers from 0 to 1:

    ===== ============= =================================================================================
    0     inventory     units left, of the 200 that find room
    1     pending       units ordered that have not arrived, those of this morning included, of 300
    2     demand        yesterday's, of 35 units (0 before the first decision)
    3     next delivery in how many days: 0 this morning, 1, 2; 3 where nothing is pending; of 3
    4     day           the evening's day, 1 to 30, of 30
    ===== ============= =================================================================================

    The reward is the day's profit: 10 a unit sold, -5 a unit short, -2 a unit left, -1 a unit ordered. The
    episode terminates after day 30. A reset without a seed goes on to the next episode's draws.

    Parameters
    ----------
    split
        Stream of the random draws: "train", "validation" or "test".
    render_mode
        "ansi": `render` returns the day as text; "human": it is printed every day.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's

    def __init__(self, render_mode: str | None = None, *, split: Split = "train") -> None:
        self.render_mode = render_mode
        self._network, self._split = load_network("corner_shop"), split
        self._simulator: Simulator | None = None
        (shop,) = self._network.nodes.values()
        lead_time = int(self._network.lead_time_moments(self._network.node_names[0])[0])
        last_day = self._network.days + 1
        self._scale = np.array(
            [shop.storage_capacity, lead_time * LARGEST_ORDER, LARGEST_DEMAND, lead_time, last_day], float
        )
        self.observation_space = Box(0.0, 1.0, (5,), np.float32)
        self.action_space = Discrete(LARGEST_ORDER + 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode on the evening of day 1; `options` are not used."""
        super().reset(seed=seed)
        if seed is None and self._simulator is not None:
            self._simulator.reset(np.ones(1, bool))
        else:
            self._simulator = Simulator(self._network, 1, self.np_random_seed, split=self._split)
        return self._evening(self._simulator), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Order and play the day. The info holds its `demand`, `sold` and `overflow` in units.

        Raises
        ------
        ValueError
            If the action is not a whole number from 0 to 100.
        gymnasium.error.ResetNeeded
            Before the first reset and after the last day.
        """
        simulator = self._simulator
        if simulator is None or simulator.state.day[0] >= self._network.days:
            raise gymnasium.error.ResetNeeded("step: no episode is open: call reset first")
        if not self.action_space.contains(action):
            raise ValueError(f"action: {action!r}: a whole number from 0 to {LARGEST_ORDER}")
        outcome = simulator.step(np.full(simulator.shape, float(action)))
        reward = float(day_costs(simulator.params, outcome).profit.sum())
        info = {name: float(getattr(outcome, name)[0, 0, 0]) for name in ("demand", "sold", "overflow")}
        if self.render_mode == "human":
            self.render()
        over = bool(simulator.state.day[0] >= self._network.days)
        return self._evening(simulator), reward, over, False, info

    def render(self) -> str | None:
        """The day as a table: returned ("ansi") or printed ("human")."""
        if self.render_mode is None or self._simulator is None:
            return None
        text = day_text(self._simulator)
        if self.render_mode == "ansi":
            return text
        print(text)
        return None

    def _evening(self, simulator: Simulator) -> np.ndarray:
        """The five numbers: this morning's arrivals are still pending, not yet stock."""
        state = simulator.state
        received = state.received[0, 0, 0]
        stock = state.on_hand[0, 0, 0] - received + state.overflow[0, 0, 0]
        arrivals = np.array([received, *state.in_transit[0, 0, 0]])
        due = np.flatnonzero(arrivals)
        wait = due[0] if len(due) else self._scale[3]
        numbers = [stock, arrivals.sum(), simulator.outcome.demand[0, 0, 0], wait, state.day[0] + 1]
        return (np.array(numbers) / self._scale).astype(np.float32)
