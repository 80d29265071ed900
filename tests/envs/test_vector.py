"""The Gymnasium vector environment: slots, both ways of starting anew, and a library that trains on it."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics, RescaleAction

from hmarl.envs import RoleVectorEnv
from hmarl.errors import InputError
from hmarl.network.presets import load_network
from hmarl.policies import make_policy
from hmarl.roles import Chain

DAYS = 5


def short(mode: AutoresetMode = AutoresetMode.SAME_STEP, finite: bool = False, **settings: Any) -> RoleVectorEnv:
    network = load_network("two_store", days=DAYS, finite=finite)
    return RoleVectorEnv(network, "store", replications=3, autoreset_mode=mode, **settings)


def test_spaces_and_types() -> None:
    env = short()
    observations, infos = env.reset(seed=1)
    assert env.num_envs == 6
    assert observations in env.observation_space
    assert observations.shape == (6, 7)
    assert infos == {}
    observations, rewards, terminations, truncations, infos = env.step(env.action_space.sample())
    assert observations in env.observation_space
    assert (rewards.shape, rewards.dtype) == ((6,), np.float64)
    assert terminations.dtype == truncations.dtype == bool
    assert infos == {}


def test_a_slot_is_an_agent_of_a_replication() -> None:
    network = load_network("three_store")
    env = RoleVectorEnv(network, "store", replications=4)
    env.reset(seed=9)
    twin = Chain(network, 1, 9, split="train", ids=np.array([2]))
    rule, rng = make_policy("base_stock", network), np.random.default_rng(0)
    stores = twin.roles["store"].nodes
    for _ in range(10):
        actions = rng.integers(0, 4, env.num_envs)
        observations, rewards, *_ = env.step(actions)
        orders = rule.orders(twin).copy()
        orders[:, stores] = twin.orders("store", actions[18:27][None]).reshape(1, 3, 3)
        twin.step(orders)
        np.testing.assert_array_equal(observations[18:27], twin.observe("store")[0])
        np.testing.assert_array_equal(rewards[18:27], twin.rewards("store")[0])


def test_both_autoreset_modes_play_the_same_episodes() -> None:
    same, following = short(AutoresetMode.SAME_STEP), short(AutoresetMode.NEXT_STEP)
    np.testing.assert_array_equal(same.reset(seed=3)[0], following.reset(seed=3)[0])
    rng = np.random.default_rng(0)
    for _ in range(2):
        for day in range(DAYS):
            actions = rng.integers(0, 4, 6)
            one, other = same.step(actions), following.step(actions)
            np.testing.assert_array_equal(one[1], other[1])
            np.testing.assert_array_equal(one[3], other[3])
            assert one[3].all() == one[3].any() == (day == DAYS - 1)
            assert not one[2].any()
            if day < DAYS - 1:
                np.testing.assert_array_equal(one[0], other[0])
                assert one[4] == {}
        last = np.stack(list(one[4]["final_obs"]))
        np.testing.assert_array_equal(last, other[0])
        assert one[4]["_final_obs"].all()
        assert other[4] == {}
        first, rewards, terminations, truncations, _ = following.step(rng.integers(0, 4, 6))
        np.testing.assert_array_equal(first, one[0])
        assert not rewards.any()
        assert not terminations.any()
        assert not truncations.any()


def test_staggered_chains_end_one_by_one() -> None:
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        env = short(mode, stagger=True)  # first days 0, 1 and 3 of 5
        env.reset(seed=0)
        fresh = short().reset(seed=0)[0][0]
        ends = []
        for _ in range(9):
            observations, rewards, _, truncations, infos = env.step(np.full(6, 2))
            ends.append(truncations[::2].tolist())
            assert (truncations[::2] == truncations[1::2]).all()
            if mode is AutoresetMode.SAME_STEP and truncations.any():
                assert [o is not None for o in infos["final_obs"]] == truncations.tolist()
                np.testing.assert_array_equal(observations[truncations][0], fresh)
            if mode is AutoresetMode.NEXT_STEP and len(ends) > 1 and any(ends[-2]):
                assert not rewards[np.repeat(ends[-2], 2)].any()
                assert rewards[~np.repeat(ends[-2], 2)].all()
        period = DAYS + (mode is AutoresetMode.NEXT_STEP)
        expected = [[step >= n and (step - n) % period == 0 for n in (5, 4, 2)] for step in range(1, 10)]
        assert ends == expected


def test_finite_episodes_terminate() -> None:
    env = short(finite=True)
    env.reset(seed=0)
    for _ in range(DAYS):
        _, _, terminations, truncations, _ = env.step(np.zeros(6, int))
    assert terminations.all()
    assert not truncations.any()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_gymnasiums_wrappers(mode: AutoresetMode) -> None:
    env = RecordEpisodeStatistics(short(mode))
    env.reset(seed=0)
    total = np.zeros(6)
    for _ in range(DAYS):
        _, rewards, _, _, infos = env.step(np.full(6, 2))
        total += rewards
    np.testing.assert_allclose(infos["episode"]["r"], total)
    assert infos["episode"]["l"].tolist() == [DAYS] * 6
    if mode is AutoresetMode.NEXT_STEP:
        NormalizeObservation(short(mode)).reset(seed=0)


def test_seeds() -> None:
    def rewards(env: RoleVectorEnv, seed: int | None) -> list[float]:
        env.reset(seed=seed)
        return env.step(np.full(6, 2))[1].tolist()

    one, other = short(), short()
    first, second = rewards(one, 5), rewards(one, None)
    assert first != second
    assert (rewards(other, 5), rewards(other, None)) == (first, second)
    assert rewards(other, 6) != first


def test_wrong_input() -> None:
    env = short()
    env.reset(seed=0)
    for wrong in (np.zeros(5, int), np.zeros(6), np.full(6, 4), np.full(6, -1)):
        with pytest.raises(ValueError, match="actions:"):
            env.step(wrong)
    with pytest.raises(ValueError, match="SAME_STEP or NEXT_STEP"):
        short(AutoresetMode.DISABLED)
    with pytest.raises(InputError, match="roles: 'shop'"):
        RoleVectorEnv("two_store", "shop")


def continuous_stores(**settings: Any) -> RoleVectorEnv:
    network = load_network("two_store", days=DAYS, **{"store.action.continuous": True})
    return RoleVectorEnv(network, "store", replications=3, **settings)


def test_continuous_actions_order_what_the_discrete_ones_do() -> None:
    numbers, choices = continuous_stores(), short()
    assert numbers.action_space.shape == (6, 1)
    np.testing.assert_array_equal(numbers.reset(seed=1)[0], choices.reset(seed=1)[0])
    rng = np.random.default_rng(0)
    for _ in range(2 * DAYS):
        choice = rng.integers(0, 4, 6)
        number = (choice * 2 / 3 - 1)[:, None]  # multiples 0, 0.5, 1, 1.5
        number[choice == 3] *= 2  # counts as 1
        for one, other in zip(numbers.step(number.astype(np.float32))[:4], choices.step(choice)[:4], strict=True):
            np.testing.assert_array_equal(one, other)


def test_wrong_continuous_actions() -> None:
    env = continuous_stores()
    env.reset(seed=0)
    for wrong in (np.zeros(6), np.zeros((6, 1), int), np.full((6, 1), np.nan)):
        with pytest.raises(ValueError, match="actions:"):
            env.step(wrong)


def test_gymnasiums_check_of_a_continuous_shop() -> None:
    class Alone(gymnasium.Env):
        """The only slot of a vector environment."""

        metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's
        render_mode = None

        def __init__(self) -> None:
            shop = load_network("corner_shop", **{"store.action.continuous": True})
            self.env = RoleVectorEnv(shop, replications=1, autoreset_mode=AutoresetMode.NEXT_STEP)
            self.observation_space = self.env.single_observation_space
            self.action_space = self.env.single_action_space

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            observations, infos = self.env.reset(seed=seed)
            return observations[0], infos

        def step(self, action: np.ndarray) -> Any:
            observations, rewards, terminations, truncations, infos = self.env.step(action[None])
            return observations[0], float(rewards[0]), bool(terminations[0]), bool(truncations[0]), infos

    check_env(Alone(), skip_render_check=True)
    RescaleAction(continuous_stores(), 0.0, 1.0).reset(seed=0)


def test_stable_baselines_trains_the_stores() -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    torch = pytest.importorskip("torch")
    from stable_baselines3.common.vec_env import VecEnv

    class Adapter(VecEnv):
        """Stable-Baselines3's interface on ours: its `terminal_observation` is our `final_obs`."""

        def __init__(self, env: RoleVectorEnv) -> None:
            self.env = env
            super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

        def reset(self) -> np.ndarray:
            return self.env.reset(seed=self._seeds[0])[0]

        def step_async(self, actions: np.ndarray) -> None:
            self._actions = actions

        def step_wait(self) -> Any:
            observations, rewards, terminations, truncations, infos = self.env.step(self._actions)
            each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for slot in np.flatnonzero(truncations | terminations):
                each[slot]["terminal_observation"] = infos["final_obs"][slot]
                each[slot]["TimeLimit.truncated"] = bool(truncations[slot])
            return observations, rewards.astype(np.float32), terminations | truncations, each

        def close(self) -> None:
            self.env.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self.env, attr_name)] * self.num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            setattr(self.env, attr_name, value)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            return [getattr(self.env, method_name)(*args, **kwargs)]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

    def mean_reward(model: Any) -> float:
        env = RoleVectorEnv("two_store", "store", replications=64, split="validation")
        observations, _ = env.reset(seed=0)
        total = 0.0
        for _ in range(90):
            actions, _ = model.predict(observations)
            observations, rewards, *_ = env.step(actions)
            total += rewards.mean() / 90
        return total

    torch.set_num_threads(1)
    env = Adapter(RoleVectorEnv("two_store", "store", replications=32, stagger=True))
    model = sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=512, n_epochs=5, learning_rate=1e-3, seed=1, device="cpu")
    assert mean_reward(model) == pytest.approx(7.35, abs=0.5)  # nearly uniform over the four actions
    model.learn(40_000)
    assert mean_reward(model) > 9
