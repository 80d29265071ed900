"""How many training workers run: as many as asked for, or on what is left where nodes are gone.

Ray Train's own elastic policy reckons with whole nodes, whatever else runs on them (engines do), and with any number of
workers, while steps can be shared out equally among some numbers alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision, ScalingPolicy

from hmarl.errors import Failed
from hmarl.nodes import standing

_SETTLED = 10.0  # seconds until what is free now is taken for all there is: what a process held comes back by and by
_KNOWN = 60.0  # seconds after which a node that does not answer counts for nothing, whatever Ray thinks of it
_LOOK = 0.5  # seconds between two looks until then
_GROWS = 10.0  # seconds between two looks for more room while workers train


@dataclass(frozen=True)
class Placement:
    """Where a training runs.

    Attributes
    ----------
    sizes
        Numbers of training processes that make the same steps, from the least to that asked for.
    storage
        Folder or URI that keeps checkpoints; all nodes see it.
    gpu
        Whether each worker has a GPU.
    wait
        Seconds for one of them to have room, where nodes are gone.
    """

    sizes: tuple[int, ...]
    storage: str
    gpu: bool
    wait: float = 60.0

    @property
    def workers(self) -> int:
        """As many as asked for."""
        return self.sizes[-1]

    @property
    def each(self) -> Mapping[str, float]:
        """What Ray Train sets aside for a worker."""
        return {"CPU": 1, "GPU": 1} if self.gpu else {"CPU": 1}

    def size(self, room: int) -> int:
        """The most workers that `room` has place for; 0 if there is none."""
        return max((size for size in self.sizes if size <= room), default=0)


def settled(placement: Placement, give_up: Callable[[], bool]) -> int:
    """How many workers to start now.

    Parameters
    ----------
    give_up
        Ends a process that something else needs less than training needs its first worker; False where there is none.

    Raises
    ------
    Failed
        If there is no room for any, for as long as `placement` waits.
    """
    begun = quiet = time.monotonic()
    while True:
        seen, now = standing(), time.monotonic()
        if seen.silent and now - begun < _KNOWN:
            quiet = now
        size = placement.size(seen.room_for(placement.each))
        if now - quiet > _SETTLED or (size == placement.workers and quiet < now):
            if size:
                return size
            if now - begun > placement.wait + _SETTLED:
                each = " and ".join(f"{amount:g} {name}" for name, amount in placement.each.items())
                raise Failed(f"no node has had room for a training worker of {each} for {now - begun:.0f} s")
            if give_up():
                quiet = now
        time.sleep(_LOOK)


class Growing(ScalingPolicy):
    """Begins with `size` workers, and starts them anew from the last checkpoint once there is room for more."""

    def __init__(self, scaling_config: Any, placement: Placement, size: int) -> None:
        super().__init__(scaling_config)
        self._placement, self._size = placement, size
        self._looked = time.monotonic()

    def make_decision_for_non_running_worker_group(self) -> ResizeDecision:
        """At the start alone: what fails is told to the driver, which starts anew."""
        return self._of(self._size)

    def make_decision_for_running_worker_group(self, **of: Any) -> NoopDecision | ResizeDecision:
        """Once in a while."""
        self._maybe_send_resource_request()  # to an autoscaler, which may have nodes
        if self._size == self._placement.workers or time.monotonic() - self._looked < _GROWS:
            return NoopDecision()
        self._looked = time.monotonic()
        size = self._placement.size(self._size + standing().room_for(self._placement.each))
        if size <= self._size:
            return NoopDecision()
        self._size = size
        return self._of(size)

    def _get_num_workers_for_resource_request(self) -> int:
        return self._placement.workers

    def _of(self, size: int) -> ResizeDecision:
        return ResizeDecision(num_workers=size, resources_per_worker=dict(self._placement.each))


class GrowingTrainer(TorchTrainer):
    """Ray Train's, with :class:`Growing` in the place of its own policies."""

    def __init__(self, *arguments: Any, placement: Placement, size: int, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._placed = placement, size

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        policy = Growing(self.scaling_config, *self._placed)
        return super()._initialize_and_run_controller(**(parts | {"scaling_policy": policy}))
