"""Which GPU of which node does what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.planning.engines import Engine


@dataclass(frozen=True)
class Bundle:
    """What is placed together, for one process: a training worker or an engine."""

    node: int
    role: Literal["trainer", "engine"]
    gpus: int


@dataclass(frozen=True)
class Placement:
    """Trainers fill the nodes from the first on, engines what is left of each."""

    workers: int
    engine: Engine
    bundles: tuple[Bundle, ...]

    @property
    def engines(self) -> int:
        """How many."""
        return sum(bundle.role == "engine" for bundle in self.bundles)

    @property
    def gpus(self) -> int:
        """That are used."""
        return sum(bundle.gpus for bundle in self.bundles)


def place(workers: int, engine: Engine, nodes: int, gpus_per_node: int) -> Placement:
    """Trainers, and as many engines as fit beside them; none where there is no room.

    No engine is spread over nodes.
    """
    bundles = []
    for node in range(nodes):
        trainers = min(gpus_per_node, max(0, workers - node * gpus_per_node))
        engines = (gpus_per_node - trainers) // engine.tensor_parallel
        bundles += [Bundle(node, "trainer", 1)] * trainers
        bundles += [Bundle(node, "engine", engine.tensor_parallel)] * engines
    return Placement(workers, engine, tuple(bundles))


def placements(
    engines: Sequence[Engine], fits: Callable[[int], bool], nodes: int, gpus_per_node: int
) -> Iterator[Placement]:
    """All with room for trainers and at least one engine; trainers have part of a node or whole nodes.

    Parameters
    ----------
    engines
        The kinds there are.
    fits
        Whether so many workers can share the training.
    """
    some = range(1, gpus_per_node)
    whole = range(gpus_per_node, nodes * gpus_per_node + 1, gpus_per_node)
    for workers in filter(fits, (*some, *whole)):
        for engine in engines:
            placement = place(workers, engine, nodes, gpus_per_node)
            if engine.sequences and placement.engines:
                yield placement


def smallest(engines: Sequence[Engine], fits: Callable[[int], bool], gpus_per_node: int, most: int) -> Placement | None:
    """With the fewest nodes, on them the fewest trainers, and the smallest engine; None where `most` are too few."""
    for nodes in range(1, most + 1):
        found = next(placements(engines, fits, nodes, gpus_per_node), None)
        if found:
            return found
    return None
