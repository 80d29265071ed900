"""The spaces ``quick`` and ``full`` of both halves."""

from __future__ import annotations

from llm.settings import LORA_RATES, WEIGHTS_RATES, GRPOSettings
from tune.space import Choice, Integer, Log, Space, Uniform

_HMARL_QUICK: dict[str, Uniform | Log | Integer | Choice] = {
    "learning_rate": Log(log=(3e-4, 6e-3)),
    "entropy": Log(log=(1e-3, 1e-1)),
    "gamma": Choice(choice=[0.9, 0.95, 0.97, 0.99]),
}
_HMARL_FULL: dict[str, Uniform | Log | Integer | Choice] = {
    **_HMARL_QUICK,
    "gae_lambda": Choice(choice=[0.8, 0.9, 0.95, 0.98]),
    "clip": Choice(choice=[0.1, 0.15, 0.2, 0.3]),
    "epochs": Integer(integer=(2, 8)),
    "minibatch": Choice(choice=[512, 1024, 2048, 4096]),
    "replications": Choice(choice=[64, 128, 256]),
    "days": Choice(choice=[16, 32, 64]),
    "hidden": Choice(choice=[[32, 32], [64, 64], [128, 128]]),
    "team": Uniform(uniform=(0, 1)),
    "store.shaping.target_stock": Uniform(uniform=(0, 2)),
    "store.shaping.anticipation": Uniform(uniform=(0, 1)),
    "store.shaping.extreme_orders": Uniform(uniform=(0, 1)),
}


def hmarl_space(name: str) -> Space:
    """The space ``quick`` or ``full`` of PPO's settings and the reward's weights."""
    return Space(_HMARL_QUICK if name == "quick" else _HMARL_FULL)


def llm_space(name: str, settings: GRPOSettings) -> Space:
    """The space ``quick`` or ``full`` of GRPO's settings: those of adapters only where adapters are trained."""
    groups = [size for size in (4, 8, 16, 32) if settings.rows_a_step % size == 0 and size < settings.rows_a_step]
    quick: dict[str, Uniform | Log | Integer | Choice] = {
        "learning_rate": Log(log=_rates(settings)),
        "temperature": Uniform(uniform=(0.7, 1.3)),
        "num_generations": Choice(choice=groups or [settings.num_generations]),
    }
    if name == "quick":
        return Space(quick)
    adapters: dict[str, Uniform | Log | Integer | Choice] = {
        "lora_r": Choice(choice=[8, 16, 32, 64]),
        "lora_alpha": Choice(choice=[16, 32, 64]),
    }
    return Space(
        {
            **quick,
            **(adapters if settings.use_lora else {}),
            "beta": Choice(choice=[0.0, 0.001, 0.01, 0.04]),
            "continuation_days": Integer(integer=(6, 14)),
        }
    )


def _rates(settings: GRPOSettings) -> tuple[float, float]:
    """Learning rates around the one given, or the usual ones where it is among them."""
    low, high = LORA_RATES if settings.use_lora else WEIGHTS_RATES
    if low <= settings.learning_rate <= high:
        return low, high
    return settings.learning_rate / 5, settings.learning_rate * 3
