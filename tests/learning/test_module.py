import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from hmarl.learning.module import (
    GLOBAL,
    LOCAL,
    ActorCritic,
    ValueScale,
    actor_weights,
    load_actor,
)
from hmarl.learning.runner import role_spaces
from hmarl.network import load_network
from hmarl.roles import Chain, critic_view


def make_module(spaces: tuple[gym.Space, gym.Space], seed: int = 0, inference_only: bool = False) -> ActorCritic:
    return ActorCritic(
        observation_space=spaces[0],
        action_space=spaces[1],
        inference_only=inference_only,
        model_config={"hidden": [64, 64], "seed": seed},
    )


@pytest.fixture
def chain() -> Chain:
    chain = Chain(load_network("two_store"), replications=3)
    rng = np.random.default_rng(0)
    for _ in range(5):
        chain.step(rng.uniform(0, 120, chain.simulator.shape))
    return chain


def outputs(chain: Chain, module: ActorCritic, role: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and values of every agent of a role."""
    observations = {name: chain.observe(name) for name in chain.roles}
    batch = {
        Columns.OBS: {
            LOCAL: torch.from_numpy(observations[role]),
            GLOBAL: torch.from_numpy(critic_view(chain.network, observations)[role]),
        }
    }
    with torch.no_grad():
        logits = module.forward_train(batch)[Columns.ACTION_DIST_INPUTS]
        return logits.numpy(), module.compute_values(batch).numpy()


def test_another_stores_state_changes_the_value_and_not_one_logit(chain):
    module = make_module(role_spaces(chain)["store"])
    logits, values = outputs(chain, module, "store")
    chain.simulator.state.on_hand[:, chain.network.node_names.index("store_2")] += 40
    other_logits, other_values = outputs(chain, module, "store")
    assert np.array_equal(logits[:, 0], other_logits[:, 0])
    assert (values[:, 0] != other_values[:, 0]).all()
    assert not np.array_equal(logits[:, 1], other_logits[:, 1])


def test_the_critic_sees_upstream_and_the_actor_does_not(chain):
    module = make_module(role_spaces(chain)["warehouse"])
    logits, values = outputs(chain, module, "warehouse")
    chain.simulator.state.on_hand[:, chain.network.node_names.index("supplier")] += 500
    other_logits, other_values = outputs(chain, module, "warehouse")
    assert np.array_equal(logits, other_logits)
    assert (values != other_values).all()


def test_a_runners_module_has_no_critic_and_takes_the_learners_weights(chain):
    spaces = role_spaces(chain)["store"]
    learner, runner = make_module(spaces, seed=1), make_module(spaces, seed=2, inference_only=True)
    assert not any(name.startswith(("critic", "value")) for name in runner.state_dict())
    state = learner.get_state(inference_only=True)
    assert set(state) == set(runner.state_dict())
    runner.set_state(state)
    local = {Columns.OBS: {LOCAL: torch.from_numpy(chain.observe("store"))}}
    theirs = learner.forward_inference(local)[Columns.ACTION_DIST_INPUTS]
    assert torch.equal(runner.forward_inference(local)[Columns.ACTION_DIST_INPUTS], theirs)


def test_actor_weights_have_their_names_and_go_back(chain):
    spaces = role_spaces(chain)["store"]
    weights = actor_weights(make_module(spaces, seed=1))
    shapes = {name: value.shape for name, value in weights.items()}
    assert shapes == {
        "layers.0.weight": (64, 7), "layers.0.bias": (64,), "layers.1.weight": (64, 64),
        "layers.1.bias": (64,), "layers.2.weight": (4, 64), "layers.2.bias": (4,),
    }  # fmt: skip
    other = make_module(spaces, seed=2)
    assert not np.array_equal(actor_weights(other)["layers.0.weight"], weights["layers.0.weight"])
    load_actor(other, weights)
    assert all(np.array_equal(value, weights[name]) for name, value in actor_weights(other).items())
    with pytest.raises(RuntimeError, match=r"layers\.2\.weight"):
        load_actor(other, {**weights, "layers.2.weight": np.zeros((5, 64), np.float32)})


def test_numpy_forward_of_the_weights_is_the_actor(chain):
    module = make_module(role_spaces(chain)["store"])
    weights, x = actor_weights(module), chain.observe("store")
    for k in range(2):
        x = np.tanh(x @ weights[f"layers.{k}.weight"].T + weights[f"layers.{k}.bias"])
    expected = x @ weights["layers.2.weight"].T + weights["layers.2.bias"]
    assert outputs(chain, module, "store")[0] == pytest.approx(expected, abs=1e-6)


def test_first_weights_are_orthogonal_with_a_small_last_layer(chain):
    weights = actor_weights(make_module(role_spaces(chain)["store"]))
    square = weights["layers.1.weight"]
    assert square @ square.T == pytest.approx(2 * np.eye(64), abs=1e-5)
    last = weights["layers.2.weight"]
    assert last @ last.T == pytest.approx(0.0001 * np.eye(4), abs=1e-8)


def test_gradients_are_those_of_tanh():
    from hmarl.learning.module import _Tanh

    x = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_Tanh.apply, x)
    assert torch.allclose(_Tanh.apply(x), torch.tanh(x), atol=1e-15)


def test_values_are_scaled_by_the_targets_mean_and_spread():
    scale = ValueScale()
    scale.update(torch.tensor([2.0, 6.0]))  # the first batch sets: mean 4, spread 2
    assert scale.normalise(torch.tensor(8.0)).item() == 2
    scale.update(torch.tensor([13.0, 15.0]))  # the next moves by 0.1: mean 4 + 10 / 10 = 5, spread 2 - 1 / 10
    assert scale(torch.tensor(1.0)).item() == pytest.approx(6.9)


def test_written_out_gradients_are_autograds(chain):
    module = make_module(role_spaces(chain)["store"])
    inputs, gradient = torch.from_numpy(chain.observe("store")).flatten(0, 1), torch.randn(6, 4)
    module.actor(inputs).backward(gradient)
    expected = [parameter.grad.clone() for parameter in module.actor.parameters()]
    flat = module.flat_parameters()
    with torch.no_grad():
        activations = module.actor.activations(inputs)
        module.actor_backward(activations, gradient)
    assert torch.allclose(activations[-1], module.actor(inputs), atol=1e-6)
    for parameter, grad in zip(module.actor.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, grad, atol=1e-7)
    assert flat.groups[0].grad.norm() == torch.cat([grad.flatten() for grad in expected]).norm()


def test_flat_parameters_are_the_modules_own(chain):
    module, other = (make_module(role_spaces(chain)["store"], seed=seed) for seed in (1, 2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flat = module.flat_parameters()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module.load_state_dict(other.state_dict())
    assert torch.equal(flat.groups[0][: 7 * 64].view(64, 7), other.actor.layers[0].weight)
    flat.gradients.fill_(3.0)
    flat.clip(0.5)
    assert flat.gradients.norm().item() == pytest.approx(0.5, rel=1e-4)
    assert module.critic.layers[0].weight.grad[0, 0] == flat.gradients[0] < 3


def test_a_continuous_actor_learns_its_spread(chain):
    local, box = role_spaces(chain)["store"][0], gym.spaces.Box(-1, 1, (1,), np.float32)
    module = make_module((local, box))
    inputs = torch.from_numpy(chain.observe("store"))
    described = module.forward_train({Columns.OBS: {LOCAL: inputs}})[Columns.ACTION_DIST_INPUTS]
    assert described.shape == (3, 2, 2)
    assert described[..., 1].unique().tolist() == [-0.5]
    described.backward(torch.ones_like(described))
    expected = module.log_std.grad.clone()
    module.flat_parameters()
    with torch.no_grad():
        rows = inputs.flatten(0, 1)
        module.actor_backward(module.actor.activations(rows), torch.ones(6, 2))
    assert torch.equal(module.log_std.grad, expected)
    assert set(actor_weights(module)) == {f"layers.{k}.{part}" for k in range(3) for part in ("weight", "bias")}
