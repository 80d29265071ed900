"""The critic's view is built of local observations and does not grow with the number of stores."""

import numpy as np

from hmarl.network import Network, load_network
from hmarl.roles import Chain, critic_features, critic_view


def test_views_of_two_stores():
    network = load_network("two_store")
    observations = {
        "store": np.arange(2 * 7, dtype=np.float32).reshape(1, 2, 7),
        "warehouse": np.full((1, 1, 6), 50, np.float32),
        "supplier": np.full((1, 1, 6), 70, np.float32),
    }
    views = critic_view(network, observations)
    pooled = (np.arange(7) + np.arange(7, 14)) / 2
    own = observations["store"][0, 1]
    np.testing.assert_allclose(views["store"][0, 1], np.concatenate([own, [50] * 6, [70] * 6, pooled]))
    np.testing.assert_allclose(views["warehouse"][0, 0], np.concatenate([[50] * 6, [70] * 6, pooled]))
    np.testing.assert_allclose(views["supplier"][0, 0], np.concatenate([[70] * 6, pooled]))


def test_the_length_does_not_grow_with_the_stores():
    def view(stores: int) -> np.ndarray:
        demand = {"distribution": "poisson", "mean": 5}
        nodes = {f"s{i}": {"upstream": "w", "demand": demand} for i in range(stores)}
        network = Network.model_validate({"nodes": {"w": {}, **nodes}})
        chain = Chain(network, 2)
        observations = {role: chain.observe(role) for role in chain.roles}
        views = critic_view(network, observations)
        lengths = critic_features(network, {role: o.shape[-1] for role, o in observations.items()})
        assert {role: v.shape[-1] for role, v in views.items()} == lengths
        return views["store"]

    assert view(2).shape[-1] == view(20).shape[-1]


def test_skus_are_pooled_apart_and_paths_followed():
    demand = {"distribution": "poisson", "mean": 5}
    nodes = {
        "east": {},
        "west": {},
        "e1": {"upstream": "east", "demand": demand},
        "w1": {"upstream": "west", "demand": demand},
        "w2": {"upstream": "west", "demand": demand},
    }
    network = Network.model_validate({"nodes": nodes, "skus": ["x", "y"]})
    observations = {
        "store": np.arange(6, dtype=np.float32).reshape(1, 6, 1),  # e1/x 0, e1/y 1, w1/x 2, ...
        "supplier": np.array([10, 11, 20, 21], np.float32).reshape(1, 4, 1),
    }
    views = critic_view(network, observations)
    np.testing.assert_allclose(views["store"][0, 0], [0, 10, 2])
    np.testing.assert_allclose(views["store"][0, 5], [5, 21, 3])
    np.testing.assert_allclose(views["supplier"][0, 3], [21, 3])
