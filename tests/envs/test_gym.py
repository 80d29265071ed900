"""CornerShop-v0: Gymnasium's own check, days worked out by hand, the published mean rewards of six rules."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import hmarl.envs  # noqa: F401 - registers the environment

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "corner_shop.json").read_text())
PUBLISHED = REFERENCE["mean_episode_reward"]


def shop() -> gymnasium.Env:
    return gymnasium.make("hmarl/CornerShop-v0")


def numbers(observation: np.ndarray) -> list[float]:
    """Stock, pending, demand, days until the next delivery, day: in units and days."""
    return np.round(observation.astype(float) * [200, 300, 35, 3, 30], 4).tolist()


def test_check_env() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(shop().unwrapped)


def test_spaces() -> None:
    env = shop()
    assert env.observation_space == gymnasium.spaces.Box(0.0, 1.0, (5,), np.float32)
    assert env.action_space == gymnasium.spaces.Discrete(101)


def test_first_days_by_hand() -> None:
    env = shop()
    observation, _ = env.reset(seed=4)
    assert numbers(observation) == [50, 0, 0, 3, 1]

    observation, reward, terminated, truncated, info = env.step(20)  # day 2; the 20 arrive on day 5
    left = 50 - info["demand"]
    assert info["sold"] == info["demand"] >= 5
    assert numbers(observation) == [left, 20, info["demand"], 2, 2]
    assert reward == 10 * info["sold"] - 2 * left - 20
    assert (terminated, truncated) == (False, False)

    observation, reward, _, _, info = env.step(0)  # day 3
    sold = min(left, info["demand"])
    left -= sold
    assert numbers(observation) == [left, 20, info["demand"], 1, 3]
    assert reward == 10 * sold - 5 * (info["demand"] - sold) - 2 * left

    observation, _, _, _, info = env.step(7)  # day 4: the 20 arrive tomorrow morning and are not yet stock
    left -= min(left, info["demand"])
    assert numbers(observation) == [left, 27, info["demand"], 0, 4]

    observation, _, _, _, info = env.step(0)  # day 5: they have come
    left = left + 20 - min(left + 20, info["demand"])
    assert numbers(observation) == [left, 7, info["demand"], 1, 5]


def test_what_finds_no_room_is_lost() -> None:
    env = shop()
    env.reset(seed=1)
    stock, overflow = 50.0, []
    for t in range(2, 8):
        observation, _, _, _, info = env.step(100)
        arrived = 100 if t >= 5 else 0
        overflow.append(max(0.0, stock + arrived - 200))
        stock = min(stock + arrived, 200) - info["sold"]
        assert numbers(observation)[:2] == [stock, 100 * min(t - 1, 3)]
        assert info["overflow"] == overflow[-1]
    assert overflow[-1] > 0


def test_29_decisions_then_the_end() -> None:
    env = shop()
    env.reset(seed=0)
    ends = [env.step(15)[2:4] for _ in range(29)]
    assert ends == [(False, False)] * 28 + [(True, False)]
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.unwrapped.step(15)


def test_seeds() -> None:
    def demands(env: gymnasium.Env, seed: int | None) -> list[float]:
        env.reset(seed=seed)
        return [env.step(10)[4]["demand"] for _ in range(29)]

    one, other = shop(), shop()
    first, second = demands(one, 3), demands(one, None)
    assert first != second
    assert (demands(other, 3), demands(other, None)) == (first, second)
    assert demands(other, 4) != first
    assert demands(shop(), None) != demands(shop(), None)


@pytest.mark.parametrize("action", [-1, 101, 2.5])
def test_wrong_action(action: float) -> None:
    env = shop().unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="from 0 to 100"):
        env.step(action)


def test_render(capsys: pytest.CaptureFixture[str]) -> None:
    env = gymnasium.make("hmarl/CornerShop-v0", render_mode="ansi")
    env.reset(seed=0)
    assert "shop/goods" in env.render()
    human = gymnasium.make("hmarl/CornerShop-v0", render_mode="human")
    human.reset(seed=0)
    human.step(1)
    assert "corner_shop: day 1 of 29" in capsys.readouterr().out


# what is on hand and pending, the day of the evening seen, and a generator
Rule = Callable[[float, int, np.random.Generator], float]


def covering(position: float, evening: int, _: np.random.Generator) -> float:
    """Up to the mean demand of the four days that the next morning's order must cover, and 6."""
    order_day = evening + 1
    mean = sum(25 if day % 7 in (6, 0) else 15 for day in range(order_day, order_day + 4))
    return 0 if order_day + 3 > 30 else mean + 6 - position


RULES: list[Rule] = [  # in the order of the file
    lambda position, evening, rng: rng.integers(0, 101),
    lambda position, evening, rng: rng.integers(0, 51),
    lambda position, evening, rng: 50 * (position < 40),
    lambda position, evening, rng: 15,
    lambda position, evening, rng: 80 - position if evening < 27 else 0,
    covering,
]


def episode_rewards(rule: Rule, episodes: int) -> np.ndarray:
    env, rng = shop().unwrapped, np.random.default_rng(0)
    totals = np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = env.reset(seed=2026 if episode == 0 else None)
        terminated = False
        while not terminated:
            stock, pending, _, _, evening = numbers(observation)
            order = min(max(int(rule(stock + pending, int(evening), rng)), 0), 100)
            observation, reward, terminated, _, _ = env.step(order)
            totals[episode] += reward
    return totals


@pytest.mark.parametrize(("name", "rule"), list(zip(PUBLISHED, RULES, strict=True)), ids=range(6))
def test_published_rewards(name: str, rule: Rule) -> None:
    episodes = 1500
    totals = episode_rewards(rule, episodes)
    spread = totals.std(ddof=1)
    standard_error = math.hypot(spread / math.sqrt(episodes), spread / math.sqrt(6000))
    assert abs(totals.mean() - PUBLISHED[name]) < 3 * standard_error
