"""Trainers and engines share nodes; nothing is spread that must not be."""

from __future__ import annotations

from collections import Counter

import pytest

from cluster.planning.engines import Engine
from cluster.planning.placement import place, placements, smallest

ONE, TWO, FOUR = (Engine(size, weights=10, room=100, sequence=10) for size in (1, 2, 4))
FULL = Engine(1, weights=100, room=5, sequence=10)


@pytest.mark.parametrize(
    ("workers", "engine", "nodes", "per_node"),
    [
        (8, TWO, 2, [(8, 0), (0, 4)]),
        (6, TWO, 2, [(6, 1), (0, 4)]),
        (5, TWO, 1, [(5, 1)]),
        (5, FOUR, 1, [(5, 0)]),
        (12, ONE, 2, [(8, 0), (4, 4)]),
    ],
)
def test_places(workers: int, engine: Engine, nodes: int, per_node: list[tuple[int, int]]) -> None:
    placement = place(workers, engine, nodes, gpus_per_node=8)
    count = Counter((bundle.node, bundle.role) for bundle in placement.bundles)
    assert [(count[node, "trainer"], count[node, "engine"]) for node in range(nodes)] == per_node
    assert placement.engines == sum(engines for _, engines in per_node)
    assert placement.gpus == workers + engine.tensor_parallel * placement.engines


def test_all_that_fit() -> None:
    found = {
        (p.workers, p.engine.tensor_parallel, p.engines)
        for p in placements([ONE, TWO, FULL], lambda workers: workers >= 3, nodes=2, gpus_per_node=4)
    }
    assert found == {(3, 1, 5), (3, 2, 2), (4, 1, 4), (4, 2, 2)}


def test_the_smallest() -> None:
    found = smallest([TWO], lambda workers: workers >= 3, gpus_per_node=4, most=9)
    assert found is not None
    assert (found.workers, found.engines) == (3, 2)  # two nodes: beside 3 trainers one has no room for an engine of 2
    assert max(bundle.node for bundle in found.bundles) == 1
    assert smallest([FULL], lambda workers: True, gpus_per_node=4, most=9) is None
